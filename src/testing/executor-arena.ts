import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { collectBytes, utf8 } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { parseFilePath, rootPath } from '../base/paths.ts'
import type { DatumOutcome, DatumWork, DatumWorker } from '../pipelines/datum-worker.ts'
import type { Executor, Slot, SlotBounds, Transform } from '../pipelines/executor.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { SlotWorkers } from '../workers/slot-workers.ts'
import type { Files } from './hostile-code.ts'
import { runIn } from './process-fixture.ts'

/** An executor, and what a suite must know of it. Disposing ends the executor, too. */
export interface ExecutorUnderTest extends AsyncDisposable {
  readonly executor: Executor
  /** Has a POSIX `sh` run `script`, in an image if need be. */
  readonly transform: (script: string, more?: Partial<Transform>) => Transform
  /** A directory of the server's, in which user code must find nothing; undefined where nothing hides it. */
  readonly hiddenDirectory: string | undefined
  /** Somebody on the machine listens at these. */
  readonly sockets: readonly string[]
  /** The bounds that hold on this machine. */
  readonly holds: ReadonlySet<string>
}

/** Opens one with these bounds, in a directory of its own. */
export type OpenExecutorUnderTest = (bounds: SlotBounds) => Promise<ExecutorUnderTest>

const megabyte = 1024 * 1024
const bounds: Required<SlotBounds> = {
  processCountMax: 200,
  refusedMsMax: 1000,
  diskBytesMax: 64 * megabyte,
}
const outputBytesMax = 4 * megabyte

const clock = new SystemClock()
const never = new AbortController().signal
/** What belongs to the server, or to another datum. */
export const foreign = 'foreign text'

/** An executor with a worker that misbehaves and one that must not notice. */
export class Arena {
  readonly #contents: ChunkedContents
  readonly #trees: FileTrees
  #tested: ExecutorUnderTest | undefined
  #bystander: Slot | undefined

  constructor() {
    const chunks = new MemoryChunkStore()
    this.#contents = new ChunkedContents(chunks)
    this.#trees = new FileTrees(chunks)
  }

  get tested(): ExecutorUnderTest {
    if (this.#tested === undefined) throw new Error('the executor has not opened')
    return this.#tested
  }

  /** Another pipeline's slot. */
  get bystander(): Slot {
    if (this.#bystander === undefined) throw new Error('the executor has not opened')
    return this.#bystander
  }

  async open(open: OpenExecutorUnderTest): Promise<void> {
    this.#tested = await open(bounds)
    const { executor, hiddenDirectory, transform } = this.#tested
    const slot = await executor.openSlot(transform('cat "$PFS/in/f"; ls -A "$PFS/out"'), never)
    this.#bystander = slot
    for (const name of ['in', 'out']) {
      if (!slot.directories.has(`/${name}`)) mkdirSync(join(slot.pfsDirectory, name))
    }
    writeFileSync(join(slot.pfsDirectory, 'in/f'), foreign)
    if (hiddenDirectory !== undefined) writeFileSync(join(hiddenDirectory, 'secret'), foreign)
  }

  async close(): Promise<void> {
    await this.#bystander?.[Symbol.asyncDispose]()
    await this.#tested?.[Symbol.asyncDispose]()
  }

  /** What the other datum sees, and what the server has. */
  async intact(): Promise<readonly string[]> {
    const { hiddenDirectory: hidden } = this.tested
    const { stdout, stderr } = await runIn(this.bystander)
    const secret = hidden === undefined ? foreign : readFileSync(join(hidden, 'secret'), 'utf8')
    return [...stdout, ...stderr, secret]
  }

  async worker(script: string, more: Partial<Transform> = {}): Promise<DatumWorker> {
    const { executor, transform } = this.tested
    const ports = {
      executor,
      trees: this.#trees,
      contents: this.#contents,
      clock,
      outputBytesMax: bounds.diskBytesMax,
    }
    return await new SlotWorkers(ports).open(transform(script, more), never)
  }

  async process(
    worker: DatumWorker,
    more: Partial<Pick<DatumWork, 'signal' | 'onLine' | 'onWarming' | 'environment'>> = {},
  ): Promise<DatumOutcome> {
    const content = await this.#contents.writeBytes(utf8('input'))
    return await worker.process({
      members: [{ input: 'in', path: parseFilePath('/f'), entry: { kind: 'file', content } }],
      environment: more.environment ?? {},
      onLine: more.onLine ?? (() => {}),
      ...(more.onWarming !== undefined && { onWarming: more.onWarming }),
      onLeftOut: () => {},
      place: async () => ({ [Symbol.dispose]: () => {} }),
      signal: more.signal ?? never,
    })
  }

  /** The files of the output, or the reason of a failure. */
  async endOf(outcome: DatumOutcome): Promise<Files | string> {
    if (outcome.kind !== 'success') return outcome.reason
    const files: Record<string, string> = {}
    for await (const { path, entry } of this.#trees.walk(outcome.output, { directories: true })) {
      if (path === rootPath) continue
      files[path] =
        entry.kind === 'directory'
          ? ''
          : Buffer.from(
              await collectBytes(this.#contents.read(entry.content), outputBytesMax),
            ).toString()
    }
    return files
  }

  /** The ends of two datums in one worker: what the first left must not show. */
  async twice(script: string, more: Partial<Transform> = {}): Promise<readonly (Files | string)[]> {
    await using worker = await this.worker(script, more)
    const ends: (Files | string)[] = []
    for (let round = 0; round < 2; round += 1) {
      ends.push(await this.endOf(await this.process(worker)))
    }
    return ends
  }
}
