/** What the runner answers to one datum. */
export type RunnerAnswer =
  | { readonly kind: 'exit'; readonly exitCode: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unstartable' }

const answerBytesMax = 256
const exitCodeMax = 255

/**
 * Cuts what the runner answers into lines. It is not trusted: user code that got hold of the runner
 * could write here.
 */
export class AnswerLines {
  #text = ''

  /** The lines that `bytes` end; undefined when no answer is that long. */
  push(bytes: Buffer): readonly string[] | undefined {
    const lines = (this.#text + bytes.toString('latin1')).split('\n')
    this.#text = lines.pop() ?? ''
    return this.#text.length > answerBytesMax ? undefined : lines
  }
}

/** Undefined for anything but the answer to the datum of this nonce. */
export function parseAnswer(line: string, nonce: string): RunnerAnswer | undefined {
  const [given, kind, code, ...rest] = line.split(' ')
  if (given !== nonce || rest.length > 0) return undefined
  if (kind === 'missing' || kind === 'unstartable') return code === undefined ? { kind } : undefined
  if (kind !== 'exit' || code === undefined || !/^\d{1,3}$/.test(code)) return undefined
  const exitCode = Number(code)
  return exitCode <= exitCodeMax ? { kind, exitCode } : undefined
}
