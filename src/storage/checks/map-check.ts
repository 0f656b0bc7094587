import { compareBytes, equalBytes } from '../../base/bytes.ts'
import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import type { FindingSubject } from '../../base/findings.ts'
import { ChunkBits } from '../collecting/chunk-bits.ts'
import type { ChunkId } from '../chunks.ts'
import { Node } from '../prolly/node.ts'
import { type StorageDamage, storageFinding } from '../storage-findings.ts'
import { boundaryProblem, canonicalBytes, endsByRule } from './canonical.ts'
import type { ChunkLookup } from './chunk-lookup.ts'
import type { CauseKey, DamageLedger } from './ledger.ts'

/** Where a check has got to, for what it tells first. */
export interface Where {
  readonly subject: FindingSubject
  /** Such as `repo@commit`. */
  readonly owner: string
  /** Below the owner; empty for its root. */
  readonly path: string
}

export function whereText({ owner, path }: Where): string {
  return path === '' ? owner : `${owner}:${path}`
}

/** Sums over the entries below: what the values of a map mean decides. */
export interface Totals {
  readonly sizeBytes: number
  readonly fileCount: number
}

export const noTotals: Totals = { sizeBytes: 0, fileCount: 0 }

/** What the parent of a node must know of it. */
export interface NodeSummary extends Totals {
  /** False when something below cannot be read: then the sums are too small. */
  readonly isWhole: boolean
  readonly level: number
  /** Entries of the node itself. */
  readonly count: number
  /** Map entries below. */
  readonly entryCount: number
  readonly encodedBytes: number
  readonly firstKey: Uint8Array
  readonly lastKey: Uint8Array
  /** The last node of some level below, or it, may only stand at the end of that level. */
  readonly isOpen: boolean
}

/**
 * Looks at a leaf's value; undefined when what it refers to cannot be read.
 * @throws {DataLossError} for a value that makes no sense.
 */
export type ValueCheck = (
  key: Uint8Array,
  value: Uint8Array,
  where: Where,
) => Promise<Totals | undefined>

/** Summaries that are kept: about 48 MiB. */
const summaryBytesMax = 24 * 1024 * 1024
const summaryCost = 300

export interface MapCheckPorts {
  readonly lookup: ChunkLookup
  readonly ledger: DamageLedger
  readonly run: CheckRun
}

/**
 * Checks the nodes of prolly trees of one kind, each once: a bit says that it has been looked at,
 * and a bounded memory what its parents must know. A summary that was dropped is made again.
 */
export class MapCheck {
  readonly #ports: MapCheckPorts
  readonly #checkValue: ValueCheck
  readonly #visited = new ChunkBits()
  #younger = new Map<ChunkId, NodeSummary>()
  #older = new Map<ChunkId, NodeSummary>()
  #youngerBytes = 0

  constructor(ports: MapCheckPorts, checkValue: ValueCheck) {
    this.#ports = ports
    this.#checkValue = checkValue
  }

  /** The whole map at `id`; undefined when its root cannot be read. */
  async checkMap(id: ChunkId, where: Where): Promise<NodeSummary | undefined> {
    const summary = await this.#checkStored(id, where)
    if (summary !== undefined && summary.level > 0 && summary.count < 2) {
      this.#addForm(where, id, 'it is a root with one child, which should itself be the root')
    }
    return summary
  }

  async #checkStored(id: ChunkId, where: Where): Promise<NodeSummary | undefined> {
    const known = this.#known(id)
    if (known !== undefined) return known
    const found = await this.#ports.lookup.find(id)
    if (found === undefined) return undefined
    const isNew = this.#visited.add(found.pack, found.index)
    const bytes = await this.#ports.lookup.read(id, found)
    if (bytes === undefined) return undefined
    const summary = await this.checkNode(id, bytes, where, isNew)
    if (summary !== undefined) this.#remember(id, summary)
    return summary
  }

  /** A node that is in memory, such as one that rides in its parent. */
  async checkNode(
    id: ChunkId,
    bytes: Uint8Array,
    where: Where,
    isNew: boolean,
  ): Promise<NodeSummary | undefined> {
    this.#ports.run.throwIfCancelled()
    if (isNew) this.#ports.run.counts.nodes += 1
    try {
      const node = new Node(bytes)
      const summary = await this.#examine(id, node, where, isNew)
      const problem = keyProblem(node)
      if (problem !== undefined) this.#add('node-damaged', `chunk ${id}`, where, id, problem)
      return summary
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      this.#add('node-damaged', `chunk ${id}`, where, id, error.message)
      return undefined
    }
  }

  /** Tells of a node, or of an entry of one, that is not as it should be. */
  add(kind: StorageDamage, where: Where, what: string): void {
    const subject = where.path === '' ? where.subject : { ...where.subject, path: where.path }
    const found = { kind: storageFinding(kind), subject, what: `${whereText(where)}: ${what}` }
    this.#ports.ledger.addEntry(`${kind} ${whereText(where)}`, found, whereText(where))
  }

  async #examine(id: ChunkId, node: Node, where: Where, isNew: boolean): Promise<NodeSummary> {
    const isFull = this.#ports.run.options.full && isNew
    const below =
      node.level === 0 ? await this.#leaf(node, where) : await this.#above(id, node, where)
    if (isFull) {
      const problem = boundaryProblem(node) ?? encodingProblem(node)
      if (problem !== undefined) this.#addForm(where, id, problem)
    }
    return {
      ...below,
      level: node.level,
      count: node.count,
      encodedBytes: node.bytes.length,
      // Copies: views would keep whole nodes alive.
      firstKey: below.firstKey.slice(),
      lastKey: (node.lastKey ?? noKey).slice(),
      isOpen: this.#ports.run.options.full && (below.isOpen || !endsByRule(node)),
    }
  }

  async #leaf(node: Node, where: Where): Promise<Below> {
    let [sizeBytes, fileCount, isWhole] = [0, 0, true]
    for (let index = 0; index < node.count; index += 1) {
      const totals = await this.#checkValue(node.keyAt(index), node.valueAt(index), where)
      isWhole &&= totals !== undefined
      sizeBytes += totals?.sizeBytes ?? 0
      fileCount += totals?.fileCount ?? 0
    }
    const firstKey = node.count === 0 ? noKey : node.keyAt(0)
    return { sizeBytes, fileCount, isWhole, entryCount: node.count, firstKey, isOpen: false }
  }

  async #above(id: ChunkId, node: Node, where: Where): Promise<Below> {
    let [sizeBytes, fileCount, isOpen, isWhole] = [0, 0, false, true]
    let firstKey: Uint8Array = noKey
    for (let index = 0; index < node.count; index += 1) {
      const child = await this.#checkStored(node.childIdAt(index), where)
      // Its cause is in the ledger; what it would add is not known.
      isWhole &&= child?.isWhole === true
      if (child === undefined) continue
      const before = index === 0 ? undefined : node.keyAt(index - 1)
      const problem = childProblem(node, index, child, before)
      if (problem !== undefined) this.#add('node-damaged', `chunk ${id}`, where, id, problem)
      if (isOpen) this.#addForm(where, id, 'a node ends where none should, and others follow')
      isOpen = child.isOpen
      if (index === 0) ({ firstKey } = child)
      sizeBytes += child.sizeBytes
      fileCount += child.fileCount
    }
    return { sizeBytes, fileCount, isWhole, entryCount: node.entryCount, firstKey, isOpen }
  }

  #add(kind: StorageDamage, key: CauseKey, where: Where, id: ChunkId, problem: string): void {
    const found = {
      kind: storageFinding(kind),
      subject: { ...where.subject, chunk: id },
      what: `node ${id}, first met in ${whereText(where)}: ${problem}`,
    }
    this.#ports.ledger.add(key, found)
  }

  /** That it is read is not in question. */
  #addForm(where: Where, id: ChunkId, problem: string): void {
    if (this.#ports.run.options.full) {
      this.#add('node-not-canonical', `entry form ${id}`, where, id, problem)
    }
  }

  #known(id: ChunkId): NodeSummary | undefined {
    const young = this.#younger.get(id)
    if (young !== undefined) return young
    const old = this.#older.get(id)
    if (old !== undefined) this.#remember(id, old)
    return old
  }

  #remember(id: ChunkId, summary: NodeSummary): void {
    if (this.#younger.has(id)) return
    this.#younger.set(id, summary)
    this.#youngerBytes += summaryCost + summary.firstKey.length + summary.lastKey.length
    if (this.#youngerBytes <= summaryBytesMax) return
    this.#older = this.#younger
    this.#younger = new Map()
    this.#youngerBytes = 0
  }
}

interface Below extends Totals {
  readonly isWhole: boolean
  readonly entryCount: number
  readonly firstKey: Uint8Array
  readonly isOpen: boolean
}

const noKey = new Uint8Array(0)

function keyProblem(node: Node): string | undefined {
  for (let index = 1; index < node.count; index += 1) {
    if (compareBytes(node.keyAt(index - 1), node.keyAt(index)) >= 0) {
      return 'its keys are not in order'
    }
  }
  return undefined
}

function childProblem(
  node: Node,
  index: number,
  child: NodeSummary,
  before: Uint8Array | undefined,
): string | undefined {
  if (child.level !== node.level - 1) {
    return `its child ${index} has level ${child.level} instead of ${node.level - 1}`
  }
  if (!equalBytes(child.lastKey, node.keyAt(index))) {
    return `its child ${index} ends with another key than is said`
  }
  if (child.entryCount !== node.entryCountAt(index)) {
    return `its child ${index} has ${child.entryCount} entries instead of ${node.entryCountAt(index)}`
  }
  if (before !== undefined && compareBytes(child.firstKey, before) <= 0) {
    return `its child ${index} begins before its child ${index - 1} ends`
  }
  return undefined
}

function encodingProblem(node: Node): string | undefined {
  return equalBytes(canonicalBytes(node), node.bytes)
    ? undefined
    : 'it is not written as it should be'
}
