// text("...") becomes static UTF-8: the call is replaced by the constant that it means, a Span.
// The literal is encoded here, so that nothing is converted when the guest runs.
import { as } from "./compiler.mjs";
import { PACKAGE } from "./names.mjs";

/** Elements of the tree that lead out of the node, or into other files. */
const NOT_CHILDREN = new Set(["range", "parent"]);

export class TextTransform {
  afterParse(parser) {
    for (const source of parser.sources) {
      const names = importedNames(source);
      if (names.size > 0) visit(source.statements, names, parser);
    }
  }
}

/** How the file calls the function `text` that it imports from the package: its name, mostly. */
function importedNames(source) {
  const names = new Set();
  for (const { kind, declarations, internalPath } of source.statements) {
    if (kind !== as.NodeKind.Import || !internalPath.startsWith(PACKAGE)) continue;
    for (const { foreignName, name } of declarations ?? []) {
      if (foreignName.text === "text") names.add(name.text);
    }
  }
  return names;
}

const isNode = (value) =>
  value !== null && typeof value === "object" && "kind" in value && "range" in value;

/** Replaces the calls among the children of `owner`, a node or a list of nodes. */
function visit(owner, names, parser) {
  for (const key in owner) {
    const value = owner[key];
    if (NOT_CHILDREN.has(key) || value === null || typeof value !== "object") continue;
    if (isNode(value) && isCall(value, names)) owner[key] = constant(value, parser) ?? value;
    else if (isNode(value) || Array.isArray(value)) visit(value, names, parser);
  }
}

const isCall = ({ kind, expression }, names) =>
  kind === as.NodeKind.Call &&
  expression.kind === as.NodeKind.Identifier &&
  names.has(expression.text);

function constant({ args, range }, parser) {
  const value = args.length === 1 ? literal(args[0]) : null;
  if (value === null) {
    parser.error(as.DiagnosticCode.User_defined_0, range, "text() wants one string literal.");
    return null;
  }
  const name = (text) => as.Node.createIdentifierExpression(text, range);
  const type = (text) =>
    as.Node.createNamedType(as.Node.createSimpleTypeName(text, range), null, false, range);
  const number = (n) => as.Node.createIntegerLiteralExpression(globalThis.i64_new(n, 0), range);
  const bytes = [...new TextEncoder().encode(value)];
  const data = as.Node.createCallExpression(
    as.Node.createPropertyAccessExpression(name("memory"), name("data"), range),
    [type("u8")],
    [as.Node.createArrayLiteralExpression(bytes.map(number), range)],
    range,
  );
  // (<u64>memory.data<u8>([...]) << 32) | length, which kernel/span.ts takes apart
  const wide = as.Node.createAssertionExpression(as.AssertionKind.Prefix, data, type("u64"), range);
  const address = as.Node.createBinaryExpression(
    as.Token.LessThan_LessThan,
    wide,
    number(32),
    range,
  );
  return as.Node.createParenthesizedExpression(
    as.Node.createBinaryExpression(as.Token.Bar, address, number(bytes.length), range),
    range,
  );
}

/** The text of a literal, of literals joined by `+`, or null. */
function literal(node) {
  if (node.kind === as.NodeKind.Parenthesized) return literal(node.expression);
  if (node.kind === as.NodeKind.Binary && node.operator === as.Token.Plus) {
    const [left, right] = [literal(node.left), literal(node.right)];
    return left === null || right === null ? null : left + right;
  }
  if (node.kind !== as.NodeKind.Literal) return null;
  if (node.literalKind === as.LiteralKind.String) return node.value;
  if (node.literalKind === as.LiteralKind.Template && node.parts.length === 1) return node.parts[0];
  return null;
}
