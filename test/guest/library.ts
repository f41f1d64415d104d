// Collections, text and lines of the guest library: test/library/library.test.ts.
import {
  Bytes,
  KeptStrings,
  scope,
  Table,
  text,
  Writer,
} from "torito/guest";
import { arenaBytes, Errno, heapInUse } from "torito/kernel/api";
import { sipHash13, sipHash24 } from "torito/kernel/siphash";

const table = new Table(1000, 1 << 20); // before there is a heap
const list = new KeptStrings(100, 10_000);

export function test_a_table_keeps_copies(): void {
  scope((_: usize): void => {
    for (let i = 0; i < 500; i++) {
      assert(table.set("key " + i.toString(), "value " + (i * i).toString()) == 0);
    }
  });
  assert(table.size == 500 && table.has("key 0") && !table.has("key 500"));
  for (let i = 0; i < 500; i++) {
    const value = table.get("key " + i.toString());
    assert(value !== null && value == "value " + (i * i).toString());
  }
  assert(table.get("") === null);
}

export function test_a_table_replaces_and_deletes(): void {
  let size = 0;
  const model = new Map<i32, i32>();
  let state: u32 = 1;
  for (let round = 0; round < 5000; round++) {
    state = state * 1664525 + 1013904223;
    const key = <i32>((state >> 8) % 300);
    if ((state >> 24) % 3 == 0) {
      assert(table.delete(key.toString()) == model.has(key));
      model.delete(key);
    } else {
      assert(table.set(key.toString(), round.toString()) == 0);
      model.set(key, round);
    }
    assert(table.size == model.size);
  }
  for (let key = 0; key < 300; key++) {
    const value = table.get(key.toString());
    assert(model.has(key) ? value !== null && value == model.get(key).toString() : value === null);
  }
  for (let c = table.first(); c >= 0; c = table.next(c)) {
    assert(model.get(<i32>parseInt(table.keyAt(c))).toString() == table.valueAt(c));
    size++;
  }
  assert(size == model.size);
}

export function test_a_table_is_in_the_order_in_which_keys_were_set(): void {
  table.set("b", "1");
  table.set("a", "2");
  table.set("c", "3");
  table.set("b", "4");
  table.delete("a");
  let order = "";
  for (let c = table.first(); c >= 0; c = table.next(c)) order += table.keyAt(c) + table.valueAt(c);
  assert(order == "b4c3", order);
}

export function test_a_table_has_bounds(): void {
  for (let i = 0; i < 1000; i++) assert(table.set(i.toString(), "") == 0);
  assert(table.set("more", "") == -Errno.ENOSPC);
  assert(table.set("7", "replaced") == 0);
  assert(table.set("7", "x".repeat(600_000)) == -Errno.ENOSPC);
  assert(table.get("7") == "replaced");
  assert(table.delete("8") && table.set("more", "") == 0);
}

export function test_a_table_that_is_emptied_takes_no_more_memory_by_its_use(): void {
  churn(2000);
  const before = heapInUse();
  churn(20_000);
  assert(heapInUse() == before);
}

function churn(times: i32): void {
  for (let i = 0; i < times; i++) {
    scope((arg: usize): void => {
      const key = arg.toString();
      table.set(key, key);
      table.delete(key);
    }, i);
  }
}

export function test_bounds_are_of_what_the_heap_really_gives(): void {
  const before = heapInUse();
  const small = new Table(u32.MAX_VALUE, 10_000);
  const few = new KeptStrings(i32.MAX_VALUE, 10_000);
  let keys = 0;
  let strings = 0;
  while (small.set(keys.toString(), "") == 0) keys++;
  while (few.push("") >= 0) strings++;
  const tables = 1024 * 4 + 512 * 4 + 512 * 4 + 3 * 32; // slots, places and blocks by number
  const used = heapInUse() - before - arenaBytes();
  assert(keys > 100 && strings > 100);
  assert(used <= 20_000 + tables, used.toString());
  few.clear();
  for (let i = 0; i < keys; i++) assert(small.delete(i.toString()));
  assert(small.set("again", "") == 0 && few.push("again") == 0);
}

export function test_a_list_keeps_copies(): void {
  scope((_: usize): void => {
    for (let i = 0; i < 50; i++) assert(list.push("item " + i.toString()) == i);
  });
  assert(list.length == 50 && list.at(49) == "item 49");
  assert(list.set(3, "three") == 0 && list.at(3) == "three");
  list.remove(0);
  assert(list.length == 49 && list.at(0) == "item 1" && list.at(2) == "three");
  list.clear();
  assert(list.length == 0);
}

export function test_a_list_has_bounds(): void {
  for (let i = 0; i < 100; i++) list.push("");
  assert(list.push("") == -Errno.ENOSPC);
  assert(list.set(0, "x".repeat(5000)) == -Errno.ENOSPC && list.at(0) == "");
}

export function panics_a_place_that_a_list_does_not_have(): void {
  list.at(0);
}

export function test_a_writer_grows_and_writes_utf_8(): void {
  const writer = new Writer(16);
  writer.text(text("grün ")).string("€ 😀 \ud800 ").number(1234567890123).byte(0x20).hex(0xdead);
  writer.bytes(Bytes.of(text("!")));
  assert(writer.toString() == "grün € 😀 \ufffd 1234567890123 dead!", writer.toString());
  for (let i = 0; i < 10_000; i++) writer.string("0123456789");
  assert(writer.length == 100_000 + 38, writer.length.toString());
}

export function test_bytes_are_a_view(): void {
  const bytes = Bytes.of(text("key=value"));
  const equals = bytes.indexOf(0x3d);
  assert(equals == 3 && bytes.indexOf(0x3f) == -1 && bytes.at(0) == 0x6b);
  assert(bytes.slice(0, equals).toString() == "key");
  assert(bytes.slice(equals + 1).equals(text("value")));
  assert(bytes.slice(-5, 100).length == 9 && bytes.slice(20).length == 0);
  assert(Bytes.from("é").length == 2);
}

export function panics_a_byte_that_is_not_there(): void {
  Bytes.of(text("a")).at(1);
}

export function test_what_is_not_utf_8_becomes_a_replacement(): void {
  const bad = memory.data<u8>([
    0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f, 0x98, 0x80, 0xe2, 0x82,
  ]);
  const read = new Bytes(bad, 13).toString();
  assert(read == "a\ufffd\ufffd(\ufffd\ufffd\ufffd😀\ufffd\ufffd", read);
}

/** The test vectors of SipHash-1-3, key 00 01 .. 0f, message 00 01 02 .. */
export function test_siphash_gives_the_known_values(): void {
  const bytes = memory.data(16);
  for (let i = 0; i < 16; i++) store<u8>(bytes + i, i);
  const k0 = load<u64>(bytes);
  const k1 = load<u64>(bytes, 8);
  assert(sipHash13(k0, k1, bytes, 0) == 0xabac0158050fc4dc);
  assert(sipHash13(k0, k1, bytes, 1) == 0xc9f49bf37d57ca93);
  assert(sipHash13(k0, k1, bytes, 8) != sipHash13(k0, k1, bytes, 7));
  // Appendix A of the paper, and the first vector of its authors' implementation.
  assert(sipHash24(k0, k1, bytes, 15) == 0xa129ca6149be45e5);
  assert(sipHash24(k0, k1, bytes, 0) == 0x726fdb47dd0e0e31);
}
