// The notes, and the handlers of requests. Strings and objects last until the response is
// complete; a Table copies what it is given, and keeps it.
import { JsonWriter, Request, Response, Table } from "torito/guest";

/** Texts by id. */
export const notes = new Table();
let last = 0;

/** Adds a note. Returns its id, or a negative error: the table is full. */
export function keep(text: string): i32 {
  const error = notes.set((last + 1).toString(), text);
  return error < 0 ? error : ++last;
}

export function list(request: Request, response: Response): void {
  const json = new JsonWriter().array();
  for (let at = notes.first(); at >= 0; at = notes.next(at)) {
    json.begin().key("id").string(notes.keyAt(at)).key("text").string(notes.valueAt(at)).end();
  }
  response.json(json.endArray());
}

/** The body is a JSON object with a text. */
export function add(request: Request, response: Response): void {
  const text = request.json().get("text").string();
  if (text.length == 0) return fail(response, 400, "a text is missing");
  const id = keep(text);
  if (id < 0) return fail(response, 507, "there is no room for more notes");
  response.status = 201;
  response.header("Location", `/notes/${id}`);
  response.json(new JsonWriter().begin().key("id").string(id.toString()).end());
}

export function read(request: Request, response: Response): void {
  const text = notes.get(request.param("id"));
  if (text === null) return fail(response, 404, "there is no such note");
  response.text(text);
}

export function remove(request: Request, response: Response): void {
  if (!notes.delete(request.param("id"))) return fail(response, 404, "there is no such note");
  response.status = 204;
}

function fail(response: Response, status: i32, reason: string): void {
  response.status = status;
  response.json(new JsonWriter().begin().key("error").string(reason).end());
}
