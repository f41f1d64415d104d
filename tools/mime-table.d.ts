// The table that tools/mime.mjs makes, for the declarations of guest/http/mime.ts.
declare module "mime-table" {
  export const NAME_BYTES_MAX: u32;
  export const NAMES: usize;
  export const GROUPS: usize;
  export const TYPE_OF: usize;
  export const TYPES: usize;
}
