# The tasks of a developer. `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

target := env("CARGO_TARGET_DIR", "target")
runtime := target / "debug/execgo-runtime"
conformance := target / "debug/execgo-conformance"
document := "openapi/execgo-runtime.json"

# Lists the recipes
[private]
default:
    @just --list --unsorted

# Runs the server with these flags, built for release
run *ARGS:
    cargo run --release -- serve "$@"

# Runs all tests
test *ARGS:
    cargo test --workspace "$@"

# Runs the tests of cgroups, sandboxes and the launcher on cgroup version 2, in a virtual machine; as root on Debian 12
test-vm *ARGS:
    .ci/vm "$@"

# Tests the page for people in a headless Chromium (Debian: chromium, chromium-driver)
test-page *ARGS: _build
    EXECGO_RUNTIME_BIN={{ runtime }} python3 -W error tests/page/test_page.py "$@"

# Pictures of the page in DIR, to be looked at
screenshots DIR='target/screenshots': _build
    EXECGO_RUNTIME_BIN={{ runtime }} python3 tests/page/screenshots.py "$1"

# Attacks the sandbox as a hostile task would; --nocapture shows every verdict
attack *ARGS:
    cargo test --test attack -- "$@"

# Kills parts of a runtime under load and checks what it promises, built for release: --kills, --victims, --seed …
torture *ARGS:
    cargo bench --bench torture -- "$@"

# Asks more of a runtime than it can give and checks what must hold, built for release: --scenarios idle,slow,…
overload *ARGS:
    cargo bench --bench overload -- "$@"

# Checks format, spelling, licences, lints and docs
check: _check-tools
    cargo fmt --all --check
    RUST_LOG=warn taplo fmt --check
    typos --config .typos.toml
    cargo metadata --locked --format-version 1 >/dev/null
    cargo deny --config .deny.toml check bans licenses sources
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Writes the OpenAPI document anew
openapi: _build
    {{ runtime }} openapi >{{ target }}/openapi.json
    mv {{ target }}/openapi.json {{ document }}

# Checks the OpenAPI document: that it is current, valid, and what a fresh runtime does
openapi-check: _openapi-tools _build
    {{ runtime }} openapi | diff {{ document }} - || { echo "{{ document }} is not current: just openapi" >&2; exit 1; }
    openapi-spec-validator {{ document }}
    .ci/with-runtime {{ runtime }} bash -c \
        'schemathesis --config-file openapi/schemathesis.toml run {{ document }} --url "$EXECGO_RUNTIME_URL"'

# Checks the runtime at URL against the contract; without URL a fresh one of this tree
conformance URL='' *ARGS: _build
    #!/usr/bin/env bash
    set -euo pipefail
    shift $(($# < 1 ? $# : 1))
    if [[ -n {{ quote(URL) }} ]]; then
        exec {{ conformance }} {{ quote(URL) }} "$@"
    fi
    # With something of everything that can be exceeded.
    limits=(--capacity-memory-bytes=8589934592 --capacity-pids=4096)
    tenant=--tenant-quota=conformance=slots:2,memory:1073741824,pids:256
    exec .ci/with-runtime {{ runtime }} "${limits[@]}" "$tenant" {{ conformance }} --spec {{ document }} "$@"

# Measures beside the machine's own limit, built for release: about a minute; `all`, `--scenarios …`; or `sandbox`
bench *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    case ${1-} in
        sandbox) exec cargo bench --bench sandbox -- "${@:2}" ;;
        all) exec cargo bench --bench runtime -- --scenarios all "${@:2}" ;;
        *) exec cargo bench --bench runtime -- "$@" ;;
    esac

# Feeds the parsers with made-up input, each TARGET for SECONDS; --list names the targets
fuzz TARGET='all' SECONDS='60': _fuzz-tools
    #!/usr/bin/env bash
    set -euo pipefail
    all=$(cargo fuzz list --fuzz-dir tests/fuzz)
    if [[ $1 == --list ]]; then
        echo "$all"
        exit
    fi
    [[ $1 == all ]] || all=$1
    for name in $all; do
        corpus={{ target }}/fuzz/corpus/$name
        mkdir -p "$corpus"
        cargo fuzz run --fuzz-dir tests/fuzz --target-dir {{ target }}/fuzz --sanitizer none "$name" "$corpus" \
            "tests/fuzz/seeds/$name" -- -max_total_time="$2" -timeout=10
    done

# Does all that a change must pass, as on a new machine
ci:
    .ci/run

# The same selection as the tests, so that nothing is built twice.
_build:
    cargo build --workspace --all-targets

_check-tools: (_has "typos") (_has "taplo")
    @cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: cargo install --locked cargo-deny@0.20.2" >&2; exit 1; }

_fuzz-tools:
    @cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install --locked cargo-fuzz@0.13.2" >&2; exit 1; }

_openapi-tools: (_has "openapi-spec-validator") (_has "schemathesis")

_has TOOL:
    @command -v {{ TOOL }} >/dev/null || { echo "{{ TOOL }} is missing: pip install -r .ci/requirements.txt" >&2; exit 1; }
