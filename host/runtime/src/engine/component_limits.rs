//! What a component weighs, before anybody compiles it: how many functions it has, and how large each is. The work of a
//! compiler grows faster than a function does, and a component that no compiler of a language makes is not worth that work.

use wasmparser::{Parser, Payload};

use crate::loading::LoadError;

/// Functions with a body, all modules together. The largest components known, Python's of 18 MB, would have as many if each
/// function had 70 bytes.
const MAX_FUNCTIONS: u64 = 250_000;
/// One function's body. The JavaScript interface of WebAssembly allows seven times as much.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Modules and components within one component. Python's have 14 to 38.
const MAX_PARTS: u64 = 1000;
/// Components within components.
const MAX_DEPTH: u64 = 20;

/// Refuses what is heavier than components are. The sizes that are written into it are not believed, but found.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let (mut functions, mut parts, mut depth) = (0_u64, 0_u64, 0_u64);
    // Goes through modules and components within without recursion.
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| LoadError::damaged(&error))? {
            Payload::CodeSectionEntry(body) => {
                functions += 1;
                let size = body.range().len();
                if size > MAX_BODY_BYTES {
                    let what = format!("a function of {size} bytes; at most {MAX_BODY_BYTES} are compiled");
                    return Err(LoadError::TooHeavy { what });
                }
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                parts += 1;
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        for (count, most, what) in [
            (functions, MAX_FUNCTIONS, "functions"),
            (parts, MAX_PARTS, "modules and components within"),
            (depth, MAX_DEPTH, "levels of components within components"),
        ] {
            if count > most {
                return Err(LoadError::TooHeavy { what: format!("more than {most} {what}") });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aftercommit_tests::wasm;

    use super::*;

    fn told(component: &[u8]) -> String {
        check(component).unwrap_err().to_string()
    }

    #[test]
    fn each_bound_is_told() {
        let one = |body: Vec<u8>| wasm::component(&[wasm::core_module(&wasm::module(&[], &[body]))]);
        let small = wasm::body(&[0x0b]);
        assert!(check(&one(small.clone())).is_ok());
        let nothing = vec![0x01; MAX_BODY_BYTES];
        assert!(told(&one(wasm::body(&[&nothing[..], &[0x0b]].concat()))).contains("a function of 10485"));
        let many = vec![small; 250_001];
        let many = wasm::component(&[wasm::core_module(&wasm::module(&[], &many))]);
        assert!(told(&many).contains("more than 250000 functions"));
        let parts = vec![wasm::core_module(&wasm::module(&[], &[])); 1001];
        assert!(told(&wasm::component(&parts)).contains("more than 1000 modules and components"));
        let deep = (0..21).fold(wasm::component(&[]), |inner, _| wasm::component(&[wasm::nested(&inner)]));
        assert!(told(&deep).contains("more than 20 levels"));
        // A size that is a lie.
        let mut cut = one(wasm::body(&[0x0b]));
        cut.truncate(cut.len() - 1);
        assert!(matches!(check(&cut), Err(LoadError::Damaged { .. })));
    }
}
