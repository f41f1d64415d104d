// The connections of a device. Each knows its place in the list: a Set of few elements is copied by
// V8 at every other change, which a client that connects for each request would pay for.

/** A connection, as the list sees it. */
export interface Member {
  /** Its index; written by the list. */
  place: number;
  /** How many were added before it; written by the list. */
  serial: number;
}

export class Members<C extends Member> {
  readonly #list: C[] = [];
  #added = 0;

  get size(): number {
    return this.#list.length;
  }

  add(one: C): void {
    one.place = this.#list.push(one) - 1;
    one.serial = this.#added++;
  }

  /** Of one that is in the list. The last one takes its place. */
  delete(one: C): void {
    const last = this.#list.pop() as C;
    if (last === one) return;
    this.#list[one.place] = last;
    last.place = one.place;
  }

  oldestFirst(): C[] {
    return this.#list.toSorted((a, b) => a.serial - b.serial);
  }

  /**
   * From the last to the first, so that any may be deleted meanwhile. Nobody is left out, but if
   * one that was not visited yet is deleted, another may be visited twice.
   */
  *[Symbol.iterator](): Iterator<C> {
    for (let i = this.#list.length - 1; i >= 0; i--) {
      const one = this.#list[i];
      if (one !== undefined) yield one;
    }
  }
}
