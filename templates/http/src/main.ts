// {{name}}: a list of notes over HTTP, as JSON.
//
//   curl 127.0.0.1:4000/notes                              all notes
//   curl 127.0.0.1:4000/notes/0                            one of them
//   curl -d '{"text":"buy milk"}' 127.0.0.1:4000/notes     one more
import { JsonWriter, parameterNumber, Request, Response, Router, serve } from "torito/guest";
import { Notes } from "./notes";

const notes = new Notes();
// Handlers are functions of a file: AssemblyScript has no closures.
const router = new Router()
  .on("GET", "/notes", listNotes)
  .on("POST", "/notes", addNote)
  .on("GET", "/notes/:id", readNote);

export function main(): i32 {
  return serve(parameterNumber("port", 80), (request: Request, response: Response): void => {
    router.handle(request, response);
  });
}

// Strings and objects that a handler makes last until its response is sent. A handler that throws
// has answered 500, and the others go on.

function listNotes(request: Request, response: Response): void {
  const json = new JsonWriter().array();
  for (let id = 0; id < notes.length; id++) note(json, id);
  response.json(json.endArray());
}

function readNote(request: Request, response: Response): void {
  const id = <i32>parseInt(request.param("id"));
  if (id < 0 || id >= notes.length) return fail(response, 404, "there is no such note");
  response.json(note(new JsonWriter(), id));
}

function addNote(request: Request, response: Response): void {
  const added = notes.add(request.json().get("text").string());
  if (added == -1) return fail(response, 400, `a note is {"text": "..."}`);
  if (added < 0) return fail(response, 507, "there is no room for more notes");
  response.status = 201;
  response.json(note(new JsonWriter(), added));
}

function note(json: JsonWriter, id: i32): JsonWriter {
  return json.begin().key("id").integer(id).key("text").string(notes.at(id)).end();
}

function fail(response: Response, status: i32, reason: string): void {
  response.status = status;
  response.json(new JsonWriter().begin().key("error").string(reason).end());
}
