/**
 * A table definition of the common dialect in SQLite's words.
 *
 * The type `BYTES`, in capitals, becomes `BLOB`. Tables are STRICT, so that a value of another type is refused as it is by
 * PostgreSQL. A table whose definition holds the comment `-- clustered` is kept in the order of its
 * primary key (WITHOUT ROWID), which saves one look-up where the key is not an integer.
 */
export function sqliteDialect(statement: string): string {
  const translated = outsideQuotes(statement, (text) => text.replaceAll(/\bBYTES\b/g, 'BLOB'))
  if (!/^(?:\s|--[^\n]*\n)*CREATE\s+TABLE\b/i.test(translated)) return translated
  const options = /--\s*clustered\b/i.test(translated) ? 'STRICT, WITHOUT ROWID' : 'STRICT'
  // On a line of its own: the definition may end in a comment.
  return `${translated.replace(/;?\s*$/, '')}\n${options}`
}

function outsideQuotes(statement: string, change: (text: string) => string): string {
  return statement
    .split(/('(?:[^']|'')*'|"(?:[^"]|"")*")/)
    .map((part, index) => (index % 2 === 0 ? change(part) : part))
    .join('')
}
