// For images with checks: a function per source file that shows the arena's check each global
// variable with its name and line, and one that calls them all, which the entry hands to the check
// (kernel/arena/check.ts).
import { as } from "./compiler.mjs";
import { ENTRY } from "./entry.mjs";
import { PACKAGE, shown } from "./names.mjs";

const ALL = "__visit_named_globals";

/** asc's library and the kernel hold nothing of the application's by themselves. */
const isApplication = (path) => !path.startsWith("~lib/") || path.startsWith(`${PACKAGE}guest/`);

export class HoldersTransform {
  afterParse(parser) {
    const visitors = [];
    for (const source of parser.sources) {
      if (!isApplication(source.normalizedPath)) continue;
      const variables = source.statements.flatMap(globalsOf);
      if (variables.length === 0) continue;
      const name = `__visit_globals_${visitors.length}`;
      const where = (range) => `${shown(source.normalizedPath)}:${source.lineAt(range.start)}`;
      const calls = variables.map(({ text, value, range }) =>
        call("__visit_global", [value, string(`${text} (${where(range)})`, range)], range),
      );
      source.statements.push(globalFunction(name, calls, source.range));
      visitors.push(name);
    }
    // The entry is compiled after the files that it imports and the initialisers in them.
    const entry = parser.sources.find(({ internalPath }) => internalPath === ENTRY);
    const { range } = entry;
    const calls = visitors.map((name) => call(name, [], range));
    entry.statements.push(globalFunction(ALL, calls, range));
    entry.statements.push(call("__set_named_globals", [identifier(ALL, range)], range));
  }
}

/** Variables of the file, and static fields of its classes, as expressions. */
function globalsOf(statement) {
  const { NodeKind, CommonFlags } = as;
  if (statement.kind === NodeKind.Variable) {
    if ((statement.flags & CommonFlags.Ambient) !== 0) return [];
    return statement.declarations.map(({ name, range }) => ({
      text: name.text,
      value: identifier(name.text, range),
      range,
    }));
  }
  if (statement.kind !== NodeKind.ClassDeclaration || statement.typeParameters?.length) return [];
  return statement.members
    .filter(
      ({ kind, flags }) =>
        kind === NodeKind.FieldDeclaration &&
        (flags & CommonFlags.Static) !== 0 &&
        (flags & (CommonFlags.Private | CommonFlags.Protected)) === 0,
    )
    .map(({ name, range }) => ({
      text: `${statement.name.text}.${name.text}`,
      value: as.Node.createPropertyAccessExpression(
        identifier(statement.name.text, range),
        identifier(name.text, range),
        range,
      ),
      range,
    }));
}

const identifier = (text, range) => as.Node.createIdentifierExpression(text, range);
const string = (text, range) => as.Node.createStringLiteralExpression(text, range);
const call = (name, values, range) =>
  as.Node.createExpressionStatement(
    as.Node.createCallExpression(identifier(name, range), null, values, range),
  );

function globalFunction(name, statements, range) {
  const { Node } = as;
  const none = Node.createNamedType(Node.createSimpleTypeName("void", range), null, false, range);
  return Node.createFunctionDeclaration(
    identifier(name, range),
    [Node.createDecorator(identifier("global", range), null, range)],
    0,
    null,
    Node.createFunctionType([], none, null, false, range),
    Node.createBlockStatement(statements, range),
    as.ArrowKind.None,
    range,
  );
}
