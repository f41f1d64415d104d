// Checks of images that are not optimised (torito dev and test). When a scope ends, nothing that
// global variables reach may lie in what is released; the memory is overwritten, and held back for
// a while, so that whatever still points to it finds poison and not another thread's objects.
import { ToroFreeMem } from "../memory";
import { Chunk, chunkStart, holdsMark, NO_CHUNK } from "./chunk";

export const CHECKED: bool = ASC_OPTIMIZE_LEVEL == 0;

const POISON: u8 = 0xa5;
/** Released chunks that are held back. */
const QUARANTINE: u32 = 64;
const quarantine: usize = memory.data(64 * 4);
let released: u32 = 0;

/** Offset of the word that holds the number of the last walk that saw an object. */
const SEEN: usize = 12;
let walk: u32 = 0;
let newest: Chunk = NO_CHUNK;
let mark: usize = 0;
let holder: string = "";
let holderType: string = "";
let namedGlobals: u32 = 0; // table index of a function that visits them

/** Panics if a global variable reaches an object of the chunks that are newer than `to`. */
export function checkEscapes(chunk: Chunk, to: usize): void {
  newest = chunk;
  mark = to;
  walk++;
  if (namedGlobals != 0) call_indirect<void>(namedGlobals); // the application's
  holder = "of a library";
  holderType = "";
  __visit_globals(0); // all that asc knows, which has seen most of it by now
}

/**
 * Sets the function that calls visitGlobal() for each of the application's variables, which the
 * build writes. It is not called by name: the compiler would compile it with the first function
 * that ends a scope, perhaps in the middle of the initialiser of one of these variables.
 */
export function setNamedGlobals(visitor: () => void): void {
  namedGlobals = visitor.index;
}

/** The walk continues at the global variable `name`, which is of the type `type`. */
export function visitGlobal(object: usize, name: string, type: string): void {
  holder = name;
  holderType = type;
  visit(object);
}

/** asc's walk (__visit_members, __visit_globals) calls this for each reference, null or not. */
export function visit(object: usize): void {
  if (object == 0 || load<u32>(object - SEEN) == walk) return;
  store<u32>(object - SEEN, walk);
  if (isGoing(object)) reportEscape(object);
  __visit_members(object, 0);
}

function isGoing(object: usize): bool {
  for (let chunk = newest; chunk != NO_CHUNK; chunk = chunk.previous) {
    const isLast = holdsMark(chunk, mark);
    const start = isLast ? mark : chunkStart(chunk);
    if (object >= start && object < chunk.limit) return true;
    if (isLast) return false;
  }
  return false;
}

/** Overwrites what a scope leaves in the chunk that it began in. */
export function poisonRest(chunk: Chunk, start: usize): void {
  memory.fill(start, POISON, chunk.limit - start);
}

/** Takes a released chunk, and frees the one that has waited longest instead. */
export function holdBack(chunk: Chunk): void {
  poisonRest(chunk, chunkStart(chunk));
  const place = quarantine + ((released++ % QUARANTINE) << 2);
  const oldest: usize = load<u32>(place);
  store<u32>(place, <u32>changetype<usize>(chunk));
  if (oldest != 0) ToroFreeMem(oldest);
}

// The report is a string in static memory: nothing may be allocated here.
const TEXT_BYTES_MAX: u32 = 512;
const text: usize = memory.data(4 + 512) + 4;
const QUOTED_MAX: i32 = 40;

function reportEscape(object: usize): void {
  store<u32>(text - 4, 0);
  append("arena: the global ");
  append(holder);
  if (holderType.length != 0) {
    append(": ");
    appendType(holderType);
  }
  append(" still reaches ");
  const id = load<u32>(object - 8);
  if (id == idof<String>()) {
    append("the string \"");
    append(changetype<string>(object), QUOTED_MAX);
    append("\"");
  } else {
    append("an object");
  }
  append(" of a scope that ends");
  assert(false, changetype<string>(text));
}

function append(part: string, charactersMax: i32 = i32.MAX_VALUE): void {
  const used = load<u32>(text - 4);
  const bytes = min<u32>(<u32>min(part.length, charactersMax) << 1, TEXT_BYTES_MAX - used);
  memory.copy(text + used, changetype<usize>(part), bytes);
  store<u32>(text - 4, used + bytes);
}

/** Without the files of the classes: Map<String,Session>. */
function appendType(name: string): void {
  let start = load<u32>(text - 4); // of the identifier
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code == 0x2f) {
      store<u32>(text - 4, start);
      continue;
    }
    const used = load<u32>(text - 4);
    if (used == TEXT_BYTES_MAX) return;
    store<u16>(text + used, <u16>code);
    store<u32>(text - 4, used + 2);
    if (code == 0x3c || code == 0x2c) start = used + 2;
  }
}
