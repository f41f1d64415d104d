// The API without the network. `torito test` runs each function on a machine of its own.
import { answer } from "./api";

export function test_requests_are_counted(): void {
  answer("GET", "/");
  assert(answer("GET", "/").body == `{"requests":2}`);
}

export function test_a_name_is_greeted(): void {
  const it = answer("GET", "/hello/Ada");
  assert(it.status == 200, it.body);
  assert(it.body == `{"hello":"Ada"}`, it.body);
}

export function test_what_is_not_there_is_404_and_other_methods_are_405(): void {
  assert(answer("GET", "/elsewhere").status == 404);
  assert(answer("POST", "/").status == 405);
  assert(answer("GET", "/hello/x%22").status == 400);
}
