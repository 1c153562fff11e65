//! `X-Execgo-Signature: t=…,v1=…`: the time of the attempt in Unix seconds, and the HMAC-SHA256 (RFC 2104) of this time, a
//! dot and the body, in hexadecimal digits.

use ring::hmac::{HMAC_SHA256, Key};

pub(super) const HEADER: &str = "x-execgo-signature";

/// Signs with a secret that nobody gets to see.
pub(super) struct Signer(Key);

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, secret))
    }

    pub(super) fn sign(&self, unix_seconds: i64, body: &[u8]) -> String {
        let signed = [format!("{unix_seconds}.").as_bytes(), body].concat();
        let tag = ring::hmac::sign(&self.0, &signed);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={unix_seconds},v1={hex}")
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_any_other_implementation() {
        // printf '1764033114.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let expected = "t=1764033114,v1=4d24636c3f83cf7b8874d33f4b5740b5a7e122f2838f257f8bddbacfd2c1e859";
        assert_eq!(Signer::new(b"0123456789abcdef").sign(1_764_033_114, br#"{"a":1}"#), expected);
    }
}
