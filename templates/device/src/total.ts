// Adding up what the dice show.

export function total(dice: Uint8Array): i32 {
  let sum = 0;
  for (let i = 0; i < dice.length; i++) sum += dice[i];
  return sum;
}
