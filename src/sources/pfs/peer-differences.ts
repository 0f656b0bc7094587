import { resumedItems, patiently, type ResumePorts } from '../resumed-bytes.ts'
import type { Peer, PeerCommit, PeerEntry } from './peer.ts'
import { compareNames } from './peer-paths.ts'

/** What one commit has that another has not; `path` is whole. */
export type PeerChange =
  /** A file, or a directory with all that was in it, is there no more. */
  | { readonly kind: 'removed'; readonly path: string }
  /** A file is new, or another. */
  | { readonly kind: 'file'; readonly entry: PeerEntry }

/** Two commits of one server, and a path that is compared. */
export interface PeerSides {
  readonly peer: Peer
  /** Undefined: nothing was there. */
  readonly before: PeerCommit | undefined
  readonly after: PeerCommit
  readonly path: string
}

/**
 * What differs, in the order of a tree: a path before what is below it, its removal before what takes its
 * place. Directories that the server says are equal are not read.
 */
export async function* peerDifferences(
  ports: ResumePorts,
  sides: PeerSides,
  signal: AbortSignal,
): AsyncGenerator<PeerChange> {
  const { peer, before, after, path } = sides
  const top = async (commit: PeerCommit | undefined): Promise<PeerEntry | undefined> => {
    if (commit === undefined) return undefined
    if (path === '') return { kind: 'directory', path, sizeBytes: 0, version: undefined }
    return patiently(ports, signal, (stop) => peer.inspect(commit, path, stop))
  }
  const walk = new Walk(ports, sides, signal)
  yield* walk.compare(await top(before), await top(after))
}

class Walk {
  readonly #ports: ResumePorts
  readonly #sides: PeerSides
  readonly #signal: AbortSignal

  constructor(ports: ResumePorts, sides: PeerSides, signal: AbortSignal) {
    this.#ports = ports
    this.#sides = sides
    this.#signal = signal
  }

  async *compare(
    before: PeerEntry | undefined,
    after: PeerEntry | undefined,
  ): AsyncGenerator<PeerChange> {
    if (before !== undefined && (after === undefined || after.kind !== before.kind)) {
      yield { kind: 'removed', path: before.path }
    }
    if (after === undefined) return
    const same = before?.kind === after.kind ? before : undefined
    if (same !== undefined && isEqual(same, after)) return
    if (after.kind === 'file') yield { kind: 'file', entry: after }
    else yield* this.#within(after.path, same !== undefined)
  }

  async *#within(directory: string, isBefore: boolean): AsyncGenerator<PeerChange> {
    const { before, after } = this.#sides
    const older = new Heads(
      isBefore && before !== undefined ? this.#list(before, directory) : none(),
    )
    const newer = new Heads(this.#list(after, directory))
    try {
      for (;;) {
        const [left, right] = [await older.head(), await newer.head()]
        if (left === undefined && right === undefined) return
        const order = orderOf(left, right)
        if (order <= 0) older.take()
        if (order >= 0) newer.take()
        yield* this.compare(order <= 0 ? left : undefined, order >= 0 ? right : undefined)
      }
    } finally {
      await Promise.all([older.close(), newer.close()])
    }
  }

  #list(commit: PeerCommit, directory: string): AsyncGenerator<PeerEntry> {
    const { peer } = this.#sides
    return resumedItems(this.#ports, this.#signal, (stop) => peer.list(commit, directory, stop))
  }
}

function isEqual(before: PeerEntry, after: PeerEntry): boolean {
  return after.version !== undefined && before.version === after.version
}

function orderOf(left: PeerEntry | undefined, right: PeerEntry | undefined): number {
  if (left === undefined) return 1
  return right === undefined ? -1 : compareNames(left.path, right.path)
}

async function* none(): AsyncGenerator<PeerEntry> {}

/** A list of which the next entry can be looked at before it is taken. */
class Heads {
  readonly #source: AsyncGenerator<PeerEntry>
  #head: Promise<IteratorResult<PeerEntry>> | undefined

  constructor(source: AsyncGenerator<PeerEntry>) {
    this.#source = source
  }

  async head(): Promise<PeerEntry | undefined> {
    this.#head ??= this.#source.next()
    const next = await this.#head
    return next.done === true ? undefined : next.value
  }

  take(): void {
    this.#head = undefined
  }

  async close(): Promise<void> {
    await this.#source.return(undefined)
  }
}
