// The device is in the machine of each test too.
import { roll } from "../drivers/dice";
import { total } from "./total";

export function test_every_die_shows_one_to_six(): void {
  const dice = new Uint8Array(1000);
  assert(roll(dice.dataStart, dice.length) == 1000);
  for (let i = 0; i < dice.length; i++) assert(dice[i] >= 1 && dice[i] <= 6);
}

export function test_the_total_is_the_sum_of_the_dice(): void {
  const dice = new Uint8Array(2);
  dice[0] = 4;
  dice[1] = 3;
  assert(total(dice) == 7);
}
