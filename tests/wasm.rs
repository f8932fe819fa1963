//! Components and core modules written byte by byte (WebAssembly core specification, 5; component model, `Binary.md`): those
//! that no compiler makes.

/// A component of these parts.
#[must_use]
pub fn component(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend(parts.iter().flatten());
    bytes
}

/// A core module as a part of a component.
#[must_use]
pub fn core_module(module: &[u8]) -> Vec<u8> {
    section(1, module)
}

/// A component as a part of another.
#[must_use]
pub fn nested(component: &[u8]) -> Vec<u8> {
    section(4, component)
}

/// A core module whose functions have these bodies; they take an integer each and return nothing. `sections` come before.
#[must_use]
pub fn module(sections: &[Vec<u8>], bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend(section(1, &[1, 0x60, 1, 0x7f, 0]));
    let types: Vec<u8> = bodies.iter().map(|_| 0).collect();
    bytes.extend(section(3, &[number(bodies.len()), types].concat()));
    bytes.extend(sections.iter().flatten());
    let code: Vec<u8> = bodies.iter().flat_map(|body| [number(body.len()), body.clone()].concat()).collect();
    bytes.extend(section(10, &[number(bodies.len()), code].concat()));
    bytes
}

/// A function's body without locals.
#[must_use]
pub fn body(instructions: &[u8]) -> Vec<u8> {
    body_with_locals(0, instructions)
}

/// A function's body with so many local integers. Local 0 is the argument, the others begin with 1.
#[must_use]
pub fn body_with_locals(locals: usize, instructions: &[u8]) -> Vec<u8> {
    let declared = if locals == 0 { vec![0] } else { [vec![1], number(locals), vec![0x7f]].concat() };
    [&declared[..], instructions].concat()
}

/// A component, and so many memories of a page beside what it needs.
///
/// # Panics
///
/// If what is given is no component.
#[must_use]
pub fn with_memories(component: &[u8], count: usize) -> Vec<u8> {
    let mut modules = 0;
    let mut rest = &component[8..];
    while let Some((&id, after)) = rest.split_first() {
        modules += usize::from(id == 1);
        let bytes_of_size = after.iter().position(|byte| byte & 0x80 == 0).expect("a size") + 1;
        let size =
            after[..bytes_of_size].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        rest = &after[bytes_of_size + size..];
    }
    // One module with a memory, and an instance of it for each.
    let memory = [b"\0asm\x01\0\0\0".to_vec(), section(5, &[1, 0, 1])].concat();
    let instance = [vec![0], number(modules), vec![0]].concat();
    let instances = section(2, &[number(count), instance.repeat(count)].concat());
    [component.to_vec(), core_module(&memory), instances].concat()
}

/// A section.
#[must_use]
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len()), content].concat()
}

/// A number as it stands in a module (LEB128).
#[must_use]
pub fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// A component of some hundred kilobytes that takes a compiler minutes: so many blocks, each within the one before.
#[must_use]
pub fn slow_to_compile(blocks: usize) -> Vec<u8> {
    let nested = [[0x02, 0x40].repeat(blocks), vec![0x0b; blocks + 1]].concat();
    component(&[core_module(&module(&[], &[body(&nested)]))])
}

/// A component of some kilobytes that takes a compiler a gigabyte and more: each of so many locals is looked for through so
/// many loops.
#[must_use]
pub fn large_to_compile(locals: usize, loops: usize) -> Vec<u8> {
    // loop; br_if back to it, if the argument is not 0; end
    let mut code = [0x03, 0x40, 0x20, 0x00, 0x0d, 0x00, 0x0b].repeat(loops);
    for local in 1..=locals {
        // The argument becomes the sum of all.
        code.extend([vec![0x20, 0x00, 0x20], number(local), vec![0x6a, 0x21, 0x00]].concat());
    }
    code.push(0x0b);
    component(&[core_module(&module(&[], &[body_with_locals(locals, &code)]))])
}
