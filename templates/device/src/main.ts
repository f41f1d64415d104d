// {{name}}: rolls two dice every second, on a device of its own: devices/dice.mjs is its model on
// the host, drivers/dice.ts its driver in the guest.
import { failed, print, Sleep } from "torito/guest";
import { roll } from "../drivers/dice";
import { total } from "./total";

export function main(): i32 {
  const dice = new Uint8Array(2);
  while (true) {
    const rolled = roll(dice.dataStart, dice.length);
    if (rolled < 0) return failed("{{name}}", "rolling", rolled);
    print(`${dice[0]} + ${dice[1]} = ${total(dice)}\n`);
    Sleep(1000);
  }
}
