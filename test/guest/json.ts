// JSON for a host that calls: test/guest-library/json.test.ts.
import { BeginThread, ToroGetMem, ToroFreeMem } from "torito/kernel/api";
import { Bytes, Json, JsonWriter, Kind } from "torito/guest";

let input: usize = 0;
let inputBytes: i32 = 0;
let output: usize = 0;
let outputBytes: i32 = -1;
let error: i32 = -1;

/** Memory for `bytes` bytes of input. */
export function room(bytes: i32): usize {
  if (input != 0) ToroFreeMem(input);
  input = ToroGetMem(bytes);
  inputBytes = bytes;
  return input;
}

export function result(): usize {
  return output;
}

/** -1: the text was refused. */
export function resultBytes(): i32 {
  return outputBytes;
}

export function errorAt(): i32 {
  return error;
}

function keep(bytes: Bytes): void {
  if (output != 0) ToroFreeMem(output);
  output = ToroGetMem(bytes.length);
  outputBytes = bytes.length;
  memory.copy(output, bytes.address, bytes.length);
}

function start(body: (arg: usize) => void): void {
  outputBytes = -1;
  assert(BeginThread(body, 0, 65536) > 0);
}

/** Reads the input as JSON and writes it again. */
export function copy(): void {
  start((_: usize): void => {
    const json = Json.parse(new Bytes(input, inputBytes));
    error = json.errorAt;
    if (json.isMissing) {
      keep(Bytes.from(json.error));
      outputBytes = -outputBytes;
      return;
    }
    const writer = new JsonWriter();
    write(json, writer);
    keep(writer.toBytes());
  });
}

function write(json: Json, writer: JsonWriter): void {
  switch (json.kind) {
    case Kind.Null:
      writer.null_();
      break;
    case Kind.Bool:
      writer.bool(json.bool());
      break;
    case Kind.Number:
      writer.number(json.number());
      break;
    case Kind.String:
      writer.string(json.string());
      break;
    case Kind.Array:
      writer.array();
      for (let i = 0; i < json.length; i++) write(json.at(i), writer);
      writer.endArray();
      break;
    case Kind.Object:
      writer.begin();
      const keys = json.keys();
      for (let i = 0; i < keys.length; i++) {
        assert(json.has(keys[i]));
        write(json.get(keys[i]), writer.key(keys[i]));
      }
      writer.end();
      break;
    default:
      assert(false, "a kind that no value has");
  }
}

/** Numbers: eight bytes each are written as an array of JSON numbers. */
export function numbers(): void {
  start((_: usize): void => {
    const writer = new JsonWriter().array();
    for (let i = 0; i < inputBytes; i += 8) writer.number(load<f64>(input + i));
    keep(writer.endArray().toBytes());
  });
}

/** Reads an array of integers, and writes them as strings; what is none as null. */
export function integers(): void {
  start((_: usize): void => {
    const json = Json.parse(new Bytes(input, inputBytes));
    const writer = new JsonWriter().array();
    for (let i = 0; i < json.length; i++) {
      const value = json.at(i);
      if (value.isInteger) writer.string(value.integer().toString());
      else writer.null_();
    }
    keep(writer.endArray().toBytes());
  });
}
