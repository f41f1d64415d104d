// Why an answer ended.

export const enum Ending {
  Whole, // all of it was handed over
  Gone, // the client has left
  Slow, // it took less than the least rate, and was cut
  Memory, // memory was short, and it was cut
  File, // the file has become shorter
}
