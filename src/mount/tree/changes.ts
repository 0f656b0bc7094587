import { OperationError } from '../errors.ts'
import type { DraftDirectories } from './draft-directories.ts'
import { type Node, type Nodes, placeOf } from './nodes.ts'
import type { ServerCalls } from './server-calls.ts'
import type { CommitPlace, Tree } from './tree.ts'

export interface ChangesParts {
  readonly tree: Tree
  readonly nodes: Nodes
  readonly calls: ServerCalls
  readonly drafts: DraftDirectories
}

/** A name in a directory. */
export interface NamedPlace {
  readonly parent: Node
  readonly name: string
}

/** Names that go or change in open commits. */
export class Changes {
  readonly #parts: ChangesParts

  constructor(parts: ChangesParts) {
    this.#parts = parts
  }

  async makeDirectory({ parent, name }: NamedPlace): Promise<void> {
    const place = below(await this.#parts.tree.openPlace(parent), name)
    const { commit, path } = place
    if ((await this.#parts.calls.entry({ commit, path })) !== undefined) {
      throw new OperationError('EEXIST', `${path} is there already`)
    }
    this.#parts.drafts.add(commit.id, path)
  }

  async deleteFile({ parent, name }: NamedPlace): Promise<void> {
    const place = await this.#parts.tree.openPlace(parent)
    const { commit, path } = below(place, name)
    const node = this.#parts.nodes.knownOpenFile(parent, name)
    node?.writer?.discard()
    await this.#parts.calls.delete({ commit, path })
    // The directory stays, as everywhere else, until it is removed.
    if (place.path !== '') this.#parts.drafts.add(commit.id, place.path)
  }

  async deleteDirectory({ parent, name }: NamedPlace): Promise<void> {
    const place = await this.#parts.tree.openPlace(parent)
    const { commit, path } = below(place, name)
    await this.#requireEmpty({ ...place, path })
    this.#parts.drafts.delete(commit.id, path)
    await this.#parts.calls.delete({ commit, path })
    if (place.path !== '') this.#parts.drafts.add(commit.id, place.path)
  }

  async move(from: NamedPlace, to: NamedPlace, replaces: boolean): Promise<void> {
    const { tree, nodes, calls, drafts } = this.#parts
    const source = below(await tree.openPlace(from.parent), from.name)
    const target = below(await tree.openPlace(to.parent), to.name)
    const file = nodes.knownOpenFile(from.parent, from.name)
    await file?.writer?.flush()
    const [entry, replaced] = await Promise.all([calls.entry(source), calls.entry(target)])
    if (replaced !== undefined && !replaces) {
      throw new OperationError('EEXIST', `${target.path} is there already`)
    }
    if (replaced?.isDirectory === true) await this.#requireEmpty(target)
    if (entry !== undefined) await calls.move(source, target, replaces)
    else if (!drafts.has(source.commit.id, source.path)) {
      throw new OperationError('ENOENT', `${source.path} is not there`)
    }
    nodes.knownOpenFile(to.parent, to.name)?.writer?.discard()
    drafts.move(source.commit.id, source.path, {
      commitId: target.commit.id,
      path: target.path,
    })
    const { path } = placeOf(from.parent)
    if (path !== '') drafts.add(source.commit.id, path)
    const moved = file ?? nodes.knownDirectory(from.parent, from.name)
    if (moved !== undefined) nodes.moved(moved, to.parent, to.name)
  }

  async #requireEmpty(place: CommitPlace): Promise<void> {
    const { calls, drafts } = this.#parts
    const { commit, path } = place
    if (drafts.below(commit.id, path).length === 0) {
      if ((await calls.entry({ commit, path })) === undefined) return
      const cancel = new AbortController()
      try {
        if (!(await hasAny(calls.list({ commit, path }, cancel.signal)))) return
      } finally {
        cancel.abort()
      }
    }
    throw new OperationError('ENOTEMPTY', `${path} is not empty`)
  }
}

async function hasAny(items: AsyncIterable<unknown>): Promise<boolean> {
  const first = await items[Symbol.asyncIterator]().next()
  return first.done !== true
}

function below(place: CommitPlace, name: string): CommitPlace {
  return { ...place, path: `${place.path}/${name}` }
}
