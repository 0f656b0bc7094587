import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import { messageValue, type Json } from './message-values.ts'

const indent = 2

/**
 * A message as `--raw` prints it. An empty message takes three lines, and messages follow each
 * other without a line break between them, as in 1.5: what parses the one parses the other.
 */
export function rawText<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string {
  const text = JSON.stringify(messageValue(schema, message, 'wire'), undefined, indent)
  // A line that ends so ends outside of a string.
  return goEscaped(text.replaceAll(/^( *)(.*)\{\}(,?)$/gm, '$1$2{\n\n$1}$3'))
}

/** A message on one line, as `--raw` prints log lines. */
export function rawLine<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string {
  return goEscaped(JSON.stringify(messageValue(schema, message, 'wire')))
}

/** A part of a pipeline spec, as inspect-job and inspect-pipeline print it. */
export function specText<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc> | undefined,
): string {
  if (message === undefined) return 'null'
  const value: Json = messageValue(schema, message, 'go')
  return goEscaped(JSON.stringify(value, undefined, indent))
}

const escapes: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
}

/** Go writes JSON so that it can stand in HTML. These characters occur in strings only. */
function goEscaped(json: string): string {
  return json.replaceAll(/[<>&\u2028\u2029]/g, (character) => escapes[character] ?? character)
}
