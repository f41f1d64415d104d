// An arena's memory: blocks of the heap in a list, the newest first.
//
//   chunk:  [ previous | limit ] [ header | object ] [ header | object ] ... top → limit

@unmanaged
export class Chunk {
  previous: Chunk; // 0: this is the oldest
  limit: usize; // its end
}

export const NO_CHUNK: Chunk = changetype<Chunk>(0);

/** Where the first object's header goes. */
export function chunkStart(chunk: Chunk): usize {
  return changetype<usize>(chunk) + offsetof<Chunk>();
}

/** Does `mark`, an address that top once had, lie in this chunk? */
export function holdsMark(chunk: Chunk, mark: usize): bool {
  return mark > changetype<usize>(chunk) && mark <= chunk.limit;
}
