// text("..."): what the build makes of it.
import { span, spanAddress, spanBytes, text } from "torito/kernel/span";
import { text as static_ } from "torito/kernel/api";

const GREETING = text("grüß");

function byte(s: u64, i: u32): u32 {
  return load<u8>(spanAddress(s) + i);
}

export function test_a_text_is_the_utf_8_of_its_literal(): void {
  assert(spanBytes(GREETING) == 6, "two letters of two bytes");
  assert(byte(GREETING, 2) == 0xc3 && byte(GREETING, 3) == 0xbc, "u umlaut");
  assert(spanBytes(text("😀")) == 4 && byte(text("😀"), 0) == 0xf0);
  assert(spanBytes(text("\r\n\"\\")) == 4 && byte(text("\r\n\"\\"), 2) == 0x22);
}

export function test_a_text_of_nothing_has_no_bytes(): void {
  assert(spanBytes(text("")) == 0);
}

export function test_literals_may_be_joined_and_templates_without_holes_are_literals(): void {
  assert(spanBytes(text("one " + "and " + ("another"))) == 15);
  assert(byte(text("a" + "b"), 1) == 0x62);
  assert(spanBytes(text(`two
lines`)) == 9);
}

export function test_the_name_of_the_import_counts_not_the_word(): void {
  assert(spanBytes(static_("abc")) == 3);
  assert(Shown.text("abc") == 3, "a method of that name is not the function");
}

class Shown {
  static text(it: string): i32 {
    return it.length;
  }
}

export function test_a_span_is_an_address_and_a_length(): void {
  const s = span(0xffff_fff0, 0xffff_ffff);
  assert(spanAddress(s) == 0xffff_fff0 && spanBytes(s) == 0xffff_ffff);
}

const LIST: StaticArray<u64> = [text("one"), text("three")];

function longest(a: u64, b: u64 = text("by default")): u32 {
  return max(spanBytes(a), spanBytes(b));
}

export function test_a_text_may_stand_wherever_an_expression_does(): void {
  assert(longest(text("x")) == 10);
  assert(longest(spanBytes(GREETING) > 0 ? text("a longer text") : text("")) == 13);
  assert(spanBytes(unchecked(LIST[1])) == 5);
  switch (spanBytes(text("ab"))) {
    case 2: assert(spanBytes(text("in a case")) == 9); break;
    default: assert(false);
  }
}
