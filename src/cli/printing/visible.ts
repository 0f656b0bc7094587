const control = /\p{Cc}/gu
const shortForms: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * `text` with its control characters written out, as in `\n`: a name can neither break the line
 * that it is on nor command the terminal.
 */
export function visible(text: string): string {
  return text.replaceAll(control, writtenOut)
}

/** `\n`, `\x1b` or `\u202e` for the character itself. */
export function writtenOut(character: string): string {
  const code = character.charCodeAt(0).toString(16).padStart(2, '0')
  return shortForms[character] ?? (code.length > 2 ? `\\u${code}` : `\\x${code}`)
}
