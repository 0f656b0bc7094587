import { visible } from './visible.ts'

/** What is told of a message in a table, in characters. */
const shortLengthMax = 50

/** The beginning of its first line. */
export function shortMessageText(message: string): string {
  const trimmed = message.trim()
  const line = trimmed.split(/[\r\n]/, 1)[0] ?? ''
  const characters = Array.from(visible(line))
  if (characters.length <= shortLengthMax) {
    return line === trimmed ? characters.join('') : `${characters.join('')}…`
  }
  return `${characters.slice(0, shortLengthMax - 1).join('')}…`
}
