import { hexText } from '../../base/bytes.ts'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import { isCommitNumber, type PfsUrl } from '../../base/source-urls.ts'
import { patiently, resumedItems, type ResumePorts } from '../resumed-bytes.ts'
import { type Content, contentSizeBytes } from '../../storage/contents.ts'
import type { ChunkOrigin, OfferedContents } from '../../storage/offered-contents.ts'
import type { Source, SourceFile } from '../source.ts'
import type { OfferedFile, Peer, PeerCommit, PeerContents, PeerEntry } from './peer.ts'

export interface PfsSourcePorts extends ResumePorts {
  /** What is here already does not have to come. */
  readonly offered: OfferedContents
}

/** A file or directory of a commit of another server. */
export class PfsSource implements Source {
  readonly name: string
  readonly ownName: string
  readonly peer: Peer
  readonly commit: PeerCommit
  /** With a slash before each name. */
  readonly path: string
  readonly #ports: PfsSourcePorts

  private constructor(
    ports: PfsSourcePorts,
    peer: Peer,
    commit: PeerCommit,
    names: readonly string[],
  ) {
    this.#ports = ports
    this.peer = peer
    this.commit = commit
    this.path = names.map((name) => `/${name}`).join('')
    this.ownName = names.join('/')
    this.name = `pfs://${peer.address}/${commit.repo}/${commit.id}${this.path}`
  }

  /**
   * The commit is that which a branch names now. In 1.3, `branch/N` is a commit, if there is one of that name.
   *
   * @throws {NotFoundError}
   */
  static async open(
    ports: PfsSourcePorts,
    peer: Peer,
    { repo, commit: name, path }: PfsUrl,
    signal: AbortSignal,
  ): Promise<PfsSource> {
    const find = (text: string): Promise<PeerCommit | undefined> =>
      patiently(ports, signal, (stop) => peer.commit(repo, text, stop))
    const [number, ...rest] = path
    if (peer.hasNumberedCommits && isCommitNumber(number)) {
      const numbered = await find(`${name}/${number}`)
      if (numbered !== undefined) return new PfsSource(ports, peer, numbered, rest)
    }
    const commit = await find(name)
    if (commit !== undefined) return new PfsSource(ports, peer, commit, path)
    throw new NotFoundError(
      `commit or branch ${JSON.stringify(name)} not found in repo ${JSON.stringify(repo)} of pachd at ${peer.address}`,
    )
  }

  /** The commit and those before it, the newest first. */
  line(signal: AbortSignal): AsyncGenerator<PeerCommit> {
    return resumedItems(this.#ports, signal, (stop) => this.peer.line(this.commit, stop))
  }

  async *files(isRecursive: boolean, signal: AbortSignal): AsyncGenerator<SourceFile> {
    const top = await this.#top(signal)
    if (top.kind === 'directory' && !isRecursive) {
      throw new InvalidArgumentError(
        `${this.name} is a directory; to put the files below it, use -r`,
      )
    }
    const offered = this.peer.contentsOf?.(this.commit)
    if (offered !== undefined && (yield* this.#offered(offered, signal))) return
    if (top.kind === 'file') yield this.#file(top)
    else yield* this.#below(top.path, signal)
  }

  /** Files by the names of their contents; false when those mean nothing here. */
  async *#offered(origin: PeerContents, signal: AbortSignal): AsyncGenerator<SourceFile, boolean> {
    const { offered: ours } = this.#ports
    const list = (stop: AbortSignal) => origin.offers(this.path, stop)
    for await (const batch of resumedItems(this.#ports, signal, list)) {
      if (batch === undefined) return false
      const contents = batch.map(({ content }) => content)
      const came = await patiently(this.#ports, signal, (stop) =>
        ours.takeSmall(origin, contents, stop),
      )
      for (const { path, content } of batch)
        yield offeredFile(ours, origin, { path, content, came })
    }
    return true
  }

  /** The root is always there, though 1.3 does not know it. */
  async #top(
    signal: AbortSignal,
  ): Promise<Pick<PeerEntry, 'kind' | 'path' | 'sizeBytes' | 'version'>> {
    const { path } = this
    if (path === '') return { kind: 'directory', path, sizeBytes: 0, version: undefined }
    const top = await patiently(this.#ports, signal, (stop) =>
      this.peer.inspect(this.commit, path, stop),
    )
    if (top !== undefined) return top
    throw new NotFoundError(
      `file ${path} not found in repo ${this.commit.repo} at commit ${this.commit.id} of pachd at ${this.peer.address}`,
    )
  }

  async *#below(directory: string, signal: AbortSignal): AsyncGenerator<SourceFile> {
    const list = (stop: AbortSignal) => this.peer.list(this.commit, directory, stop)
    for await (const entry of resumedItems(this.#ports, signal, list)) {
      if (entry.kind === 'file') yield this.#file(entry)
      else yield* this.#below(entry.path, signal)
    }
  }

  #file(entry: Pick<PeerEntry, 'path' | 'sizeBytes' | 'version'>): SourceFile {
    const { peer, commit } = this
    const { path, sizeBytes, version } = entry
    return {
      path: path.slice(this.path.length),
      sizeBytes,
      version,
      open: (offset, signal) => peer.read(commit, path, offset, signal),
    }
  }
}

/** A file of a commit, by the name of its content where the server has names like ours. */
export async function peerFile(
  { offered, ...ports }: PfsSourcePorts,
  { peer, commit }: { readonly peer: Peer; readonly commit: PeerCommit },
  entry: Pick<PeerEntry, 'path' | 'sizeBytes' | 'version'>,
  signal: AbortSignal,
): Promise<SourceFile> {
  const { path, sizeBytes, version } = entry
  const origin = peer.contentsOf?.(commit)
  if (origin !== undefined) {
    const list = (stop: AbortSignal) => origin.offers(path, stop)
    for await (const batch of resumedItems(ports, signal, list)) {
      const file = batch?.[0]
      if (batch === undefined) break
      if (file !== undefined) return offeredFile(offered, origin, { ...file, came: new Set() })
    }
  }
  return {
    path,
    sizeBytes,
    version,
    open: (offset, stop) => peer.read(commit, path, offset, stop),
  }
}

/** A file by the name of its content; `came` are chunks that have just come. */
export function offeredFile(
  ours: OfferedContents,
  origin: ChunkOrigin,
  { path, content, came }: OfferedFile & { readonly came: ReadonlySet<string> },
): SourceFile {
  const sizeBytes = contentSizeBytes(content)
  return {
    path,
    sizeBytes,
    version: versionOf(content),
    content,
    open: (offset, signal, onHeld = () => undefined) =>
      ours.bytes(origin, content, { offset, signal, onHeld }),
    stored: async () => {
      if (!(await ours.isHeld(content))) return undefined
      const hasCome =
        content.kind === 'inline' || (content.kind === 'chunk' && came.has(content.chunk))
      return { content, cameBytes: hasCome ? sizeBytes : 0 }
    },
  }
}

/** Equal contents have equal names. */
function versionOf(content: Content): string {
  switch (content.kind) {
    case 'inline':
      return hexText(content.bytes)
    case 'chunk':
      return content.chunk
    case 'list':
      return content.root
  }
}
