// Doubly linked lists through nodes that objects embed, so that entering and leaving take constant
// time and no memory. A zeroed list is empty, a zeroed node is in none.

/** An object's place in one list. */
@unmanaged
export class ListNode {
  next: ListNode | null;
  prev: ListNode | null;
  list: List | null; // null: in none
  object: usize; // that embeds the node
}

@unmanaged
export class List {
  first: ListNode | null;
  last: ListNode | null;

  append(node: ListNode): void {
    this.insertAfter(this.last, node);
  }

  /** Inserts `node` after `prev`, or at the front for null. */
  insertAfter(prev: ListNode | null, node: ListNode): void {
    assert(!node.list, "in a list");
    const next = prev ? prev.next : this.first;
    node.list = this;
    node.prev = prev;
    node.next = next;
    if (prev) prev.next = node;
    else this.first = node;
    if (next) next.prev = node;
    else this.last = node;
  }

  remove(node: ListNode): void {
    assert(node.list == this, "not in the list");
    const prev = node.prev;
    const next = node.next;
    if (prev) prev.next = next;
    else this.first = next;
    if (next) next.prev = prev;
    else this.last = prev;
    node.list = null;
  }
}
