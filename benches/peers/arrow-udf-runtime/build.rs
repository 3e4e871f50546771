//! The interpreter is linked statically; its extension modules find its functions in the program.

fn main() {
    println!("cargo::rustc-link-arg-bins=-rdynamic");
}
