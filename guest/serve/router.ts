// Routes: handlers by method and pattern of the path, tried in the order in which they were added.
import { Span, spanAddress, spanBytes, text } from "../../kernel/api";
import { isSame } from "../http/text";
import { Request } from "./request";
import { Response } from "./response";
import { fits } from "./route";

@final
class Route {
  constructor(
    readonly method: string,
    readonly pattern: string,
    readonly handler: (request: Request, response: Response) => void,
  ) {}
}

/** Make it in a global variable, or in main() before serve(): it has to outlive all requests. */
@final
export class Router {
  private routes: Route[] = [];

  /**
   * Adds a route. `/notes/:id` takes any one part of a path as its param("id"); `/files/*` takes
   * any rest. GET takes HEAD too.
   */
  on(
    method: string,
    pattern: string,
    handler: (request: Request, response: Response) => void,
  ): Router {
    if (!pattern.startsWith("/")) throw new Error("Router: a pattern begins with /");
    this.routes.push(new Route(method, pattern, handler));
    return this;
  }

  /**
   * Calls the handler of a request. Answers 404 if no pattern fits, and for one that fits with
   * other methods 405, or 204 to OPTIONS, with the methods in Allow.
   */
  handle(request: Request, response: Response): void {
    const path = request.pathSpan;
    const method = request.methodSpan;
    let known = false;
    for (let i = 0; i < this.routes.length; i++) {
      const route = unchecked(this.routes[i]);
      if (!fits(route.pattern, path)) continue;
      known = true;
      if (!takes(route.method, method)) continue;
      request.pattern = route.pattern;
      route.handler(request, response);
      return;
    }
    if (!known) {
      response.status = 404;
      response.text("Not Found\n");
      return;
    }
    response.header("Allow", this.allowed(path));
    response.status = isWord("OPTIONS", method) ? 204 : 405;
    if (response.status == 405) response.text("Method Not Allowed\n");
  }

  private allowed(path: Span): string {
    const methods: string[] = [];
    for (let i = 0; i < this.routes.length; i++) {
      const route = this.routes[i];
      if (!fits(route.pattern, path) || methods.includes(route.method)) continue;
      methods.push(route.method);
      if (route.method == "GET") methods.push("HEAD");
    }
    return methods.join(", ");
  }
}

function takes(method: string, asked: Span): bool {
  if (isWord(method, asked)) return true;
  const head = text("HEAD");
  const at = spanAddress(asked);
  const isHead = isSame(at, spanBytes(asked), spanAddress(head), spanBytes(head));
  return isHead && method == "GET";
}

/** Is it this word, in ASCII? */
function isWord(word: string, bytes: Span): bool {
  if (<u32>word.length != spanBytes(bytes)) return false;
  for (let i = 0; i < word.length; i++) {
    if (word.charCodeAt(i) != <i32>load<u8>(spanAddress(bytes) + i)) return false;
  }
  return true;
}
