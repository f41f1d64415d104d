// The greeting. Strings, arrays, maps and classes come from the memory of the running thread, and
// go when it ends.

export function greeting(name: string): string {
  return `Hello, ${name.length > 0 ? name : "stranger"}!`;
}
