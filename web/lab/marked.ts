// The marks of Markdown that the tour uses within a line: code, bold and italics.
import { element } from "../inspector/dom.ts";

const MARK = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*/g;

export function marked(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let at = 0;
  for (const mark of text.matchAll(MARK)) {
    const [whole, code, bold, italics = ""] = mark;
    parts.push(text.slice(at, mark.index));
    if (code !== undefined) parts.push(element("code", {}, code));
    else if (bold !== undefined) parts.push(element("strong", {}, bold));
    else parts.push(element("em", {}, italics));
    at = mark.index + whole.length;
  }
  return [...parts, text.slice(at)];
}
