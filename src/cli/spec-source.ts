import { createReadStream } from 'node:fs'
import type { Clock } from '../base/clock.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { CommandContext } from './command.ts'
import { UsageError } from './errors.ts'
import type { SourceText } from './parsing/spec-documents.ts'

/** What a text may be, which a person has named; whoever names a film by mistake hears of it. */
interface TextBound {
  readonly mebibytesMax: number
  /** What would be longer, and is none. */
  readonly of: string
  readonly advice: string
}

/** A spec is short, and so are thousands. */
const specsBound: TextBound = {
  mebibytesMax: 16,
  of: 'specs',
  advice: 'name a file with specs, in JSON or YAML, or give them in parts',
}
const fetchMsMax = 60_000
const mebibyte = 1024 * 1024

/** The text of specs: a local file, an http or https URL, or `-` for standard input. */
export async function readSource(
  context: Pick<CommandContext, 'input' | 'out' | 'clock'>,
  source: string,
): Promise<SourceText> {
  const name = source === '-' ? 'the standard input' : source
  return { name, text: await readText(context, source) }
}

async function readText(
  { input, out, clock }: Pick<CommandContext, 'input' | 'out' | 'clock'>,
  source: string,
): Promise<string> {
  if (source === '-') {
    await out.line('Reading from stdin.')
    return boundedText(input.bytes(), 'standard input', specsBound)
  }
  if (/^https?:\/\//i.test(source)) return fetchText(source, clock)
  const scheme = /^(\w+):\/\//.exec(source)?.[1]
  if (scheme !== undefined) {
    throw new UsageError(`cannot read ${source}: ${scheme} is neither http nor https`)
  }
  try {
    return await boundedText(createReadStream(source), source, specsBound)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EISDIR')) throw error
    throw new InvalidArgumentError(
      `${source} is a directory: name a file with specs, or - for standard input`,
      { cause: error },
    )
  }
}

async function fetchText(url: string, clock: Clock): Promise<string> {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new InvalidArgumentError(`cannot fetch ${url}: ${reason}`, { cause })
  }
  using held = new DisposableStack()
  const [tooLate, done] = [new AbortController(), new AbortController()]
  held.defer(() => done.abort())
  const late = new Error(`it took more than ${fetchMsMax / 1000} seconds`)
  clock.sleep(fetchMsMax, done.signal).then(
    () => tooLate.abort(late),
    () => undefined,
  )
  try {
    const response = await fetch(url, { signal: tooLate.signal })
    if (!response.ok) return refuse(`the answer is HTTP ${response.status}`)
    return await boundedText(response.body ?? [], response.url, specsBound)
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw error
    const { cause, message } = error as Error
    return refuse(cause instanceof Error ? cause.message : message, error)
  }
}

/** Reads no further than that. @throws {InvalidArgumentError} where there is more. */
export async function boundedText(
  slices: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  source: string,
  { mebibytesMax, of, advice }: TextBound,
): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const slice of slices) {
    size += slice.length
    if (size > mebibytesMax * mebibyte) {
      throw new InvalidArgumentError(
        `${source} holds more than ${mebibytesMax} MiB, which is more than ${of} take: ${advice}`,
      )
    }
    text += decoder.decode(slice, { stream: true })
  }
  return text + decoder.decode()
}
