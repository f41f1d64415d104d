// The notes, which outlive requests: KeptStrings copies what it is given.
import { KeptStrings } from "torito/guest";

export class Notes {
  private texts: KeptStrings = new KeptStrings();

  get length(): i32 {
    return this.texts.length;
  }

  at(id: i32): string {
    return this.texts.at(id);
  }

  /** Returns the number of the note, -1 if it is empty, or a smaller number: there is no room. */
  add(text: string): i32 {
    if (text.trim().length == 0) return -1;
    const status = this.texts.push(text.trim());
    return status < 0 ? status - 1 : this.texts.length - 1;
  }
}
