import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

const columns = 100
const indent = '  '

/** Writes for people: short sections, at most 100 columns, colours on a terminal only. */
export class Screen {
  readonly #stream: NodeJS.WriteStream
  readonly #hasColours: boolean
  #sectionCount = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    this.#hasColours = stream.isTTY && process.env['NO_COLOR'] === undefined
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY
  }

  title(text: string): void {
    this.#write(`\n${this.#styled('bold', text)}\n`)
  }

  section(text: string): void {
    this.#sectionCount += 1
    this.#write(`\n${this.#styled(['bold', 'cyan'], `${this.#sectionCount}  ${text}`)}\n`)
  }

  /** Wraps at words. */
  text(text: string): void {
    for (const line of wrapped(text, columns - indent.length)) this.#write(`${indent}${line}\n`)
  }

  /** A command as one would type it. */
  command(text: string): void {
    const [first = '', ...more] = text.split('\n')
    this.#write(`${indent}${this.#styled('dim', '$')} ${first}\n`)
    for (const line of more) this.#write(`${indent}  ${line}\n`)
  }

  /** What a command printed, as it did; cut at the right edge. */
  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) {
      const shown = cut(line.trimEnd(), columns - indent.length)
      this.#write(shown === '' ? '\n' : `${indent}${this.#styled('dim', shown)}\n`)
    }
  }

  /** A line of numbers, with the time that they took at the right. */
  result(text: string, elapsedMs?: number): void {
    const time = elapsedMs === undefined ? '' : seconds(elapsedMs)
    const space = ' '.repeat(Math.max(2, columns - indent.length - text.length - time.length))
    const timed = time === '' ? '' : `${space}${this.#styled('dim', time)}`
    this.#write(`${indent}${this.#styled('green', text)}${timed}\n`)
  }

  added(text: string): void {
    this.#write(`${indent}${this.#styled('green', cut(`+ ${text}`, columns - indent.length))}\n`)
  }

  removed(text: string): void {
    this.#write(`${indent}${this.#styled('red', cut(`- ${text}`, columns - indent.length))}\n`)
  }

  blank(): void {
    this.#write('\n')
  }

  /** Shows `text` in place of the last call's; nothing where there is no terminal. */
  passing(text: string): void {
    if (this.isTerminal) this.#write(`\r\u001b[2K${text === '' ? '' : indent + text}`)
  }

  #write(text: string): void {
    this.#stream.write(text)
  }

  #styled(style: Style, text: string): string {
    return this.#hasColours ? styleText(style, text, { validateStream: false }) : text
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

export function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

/** With two digits more than whole, base 1024. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  let amount = bytes
  let unit = 0
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024
    unit += 1
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}
