// A10: a machine provides three kinds of imports. An image that wants others would be refused when
// it boots; the build says so earlier.
const PROVIDED = {
  env: /^memory$/,
  hypercall: /^(mmioRead|mmioWrite|clock|panic|fault)$/,
  wasi_snapshot_preview1: /^(fd_write|clock_time_get|random_get|proc_exit)$/,
};

/** Imports that no machine has, as `module.name`. */
export function foreignImports(wasm) {
  return WebAssembly.Module.imports(new WebAssembly.Module(wasm))
    .filter(({ module, name }) => !PROVIDED[module]?.test(name))
    .map(({ module, name }) => `${module}.${name}`);
}
