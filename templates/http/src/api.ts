// The API's answers. Strings last until the request is answered; what is to outlive it, as this
// number does, is kept in global variables of simple types.
let requests: u32 = 0;

export class Answer {
  constructor(public status: u32, public body: string) {}
}

export function answer(method: string, path: string): Answer {
  requests++;
  if (method != "GET") return new Answer(405, `{"error":"only GET is understood"}`);
  if (path == "/") return new Answer(200, `{"requests":${requests}}`);
  if (path.startsWith("/hello/")) return greet(path.substring(7));
  return new Answer(404, `{"error":"there is nothing here"}`);
}

/** A name of letters, so that nothing in it has to be escaped. */
function greet(name: string): Answer {
  for (let i = 0; i < name.length; i++) {
    const letter = name.charCodeAt(i) | 0x20;
    if (letter < 0x61 || letter > 0x7a) return new Answer(400, `{"error":"letters, please"}`);
  }
  return new Answer(200, `{"hello":"${name}"}`);
}
