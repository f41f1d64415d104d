// Statement coverage of guest code: a call __cov(id) before every statement. V8's own coverage does
// not see WebAssembly.
import { as } from "./compiler.mjs";
import { ENTRY } from "./entry.mjs";
import { PACKAGE, shown } from "./names.mjs";

/** @typedef {{ file: string, line: number }} Point */

// The switch functions must stay as they are for Asyncify, and panic runs in any state.
const OWN = new RegExp(`^${PACKAGE}(?!abi/|kernel/(arch|rt|panic|hypercall))`);
/** Of a project: its sources, but neither tests nor what makes the image. */
const isProject = (path) => !/^~lib\/|\.test\.ts$|^test\//.test(path) && path !== `${ENTRY}.ts`;

/**
 * @param {Point[]} points filled while parsing; the index is the id that __cov receives
 * @param {"all" | "project"} which "all": the package's sources too
 */
export function coverageTransform(points, which) {
  const covered = (path) => isProject(path) || (which === "all" && OWN.test(path));
  const { Node, NodeKind } = as;
  const seen = new Set();
  const probe = ({ range }) => {
    const id = points.length;
    points.push({
      file: shown(range.source.normalizedPath),
      line: range.source.lineAt(range.start),
    });
    const argument = Node.createIntegerLiteralExpression(globalThis.i64_new(id, 0), range);
    const hook = Node.createIdentifierExpression("__cov", range, false);
    const call = Node.createCallExpression(hook, null, [argument], range);
    return Node.createExpressionStatement(call);
  };
  const unprobed = new Set([NodeKind.Empty, NodeKind.Block, NodeKind.FunctionDeclaration]);
  const probeAll = (statements) =>
    statements.flatMap((statement) => {
      const probed = unprobed.has(statement.kind) ? [statement] : [probe(statement), statement];
      visit(statement);
      return probed;
    });
  const branch = (owner, key) => {
    const body = owner[key];
    if (!body) return;
    if (body.kind !== NodeKind.Block) owner[key] = Node.createBlockStatement([body], body.range);
    visit(owner[key]);
  };
  const visit = (node) => {
    if (!node || seen.has(node)) return;
    seen.add(node);
    switch (node.kind) {
      case NodeKind.Block:
        node.statements = probeAll(node.statements);
        break;
      case NodeKind.If:
        branch(node, "ifTrue");
        branch(node, "ifFalse");
        break;
      case NodeKind.For:
      case NodeKind.While:
      case NodeKind.Do:
        branch(node, "body");
        break;
      case NodeKind.Switch:
        for (const one of node.cases) one.statements = probeAll(one.statements);
        break;
      case NodeKind.FunctionDeclaration:
      case NodeKind.MethodDeclaration:
        if (!node.decorators?.some(({ name }) => name.text === "inline")) visit(node.body);
        break;
      case NodeKind.ClassDeclaration:
        node.members.forEach(visit);
        break;
    }
  };
  return class Coverage {
    afterParse(parser) {
      for (const source of parser.sources) {
        if (covered(source.normalizedPath)) source.statements.forEach(visit);
      }
    }
  };
}
