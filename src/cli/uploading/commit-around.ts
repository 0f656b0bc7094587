import type { CommandContext } from '../command.ts'
import { Code } from '../../base/grpc-wire.ts'
import { holdCommit } from '../../client/held-commit.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { LeftOpenError } from '../errors.ts'
import type { pfsClient as PfsClientOf } from '../pfs-client.ts'

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** After an interrupt nobody wants to wait long for a server. */
const closeMsMax = 3000

/**
 * Opens a commit on a branch, runs `work` with its id, and finishes it, unless `hasEnded` says that the server
 * has. When `work` failed, or is interrupted, the commit is deleted, since an empty one would only start jobs.
 * But when `hasPut` says that some of it was stored, it is finished, as 1.5 does; and left open by an
 * interrupt, or another signal that ends the process, and it is said what to do with it: what was put so far
 * is seldom what was meant. A server of ours holds the commit, and gives it up when this process or the server
 * itself is gone.
 *
 * @throws {LeftOpenError} when the commit could not be closed either; its cause is the first failure.
 */
export async function commitAround(
  context: CommandContext,
  target: CommitTarget & {
    readonly hasPut?: () => boolean
    readonly hasEnded?: () => boolean
  },
  work: (commit: string, options: { readonly isHeld: boolean }) => Promise<void>,
): Promise<void> {
  const { repo, branch, hasPut = () => false, hasEnded = () => false } = target
  using opened = await openCommit(context, target)
  const { id, isHeld } = opened
  const commit = { repo: { name: repo }, id }
  const tellAndEnd = (signal: NodeJS.Signals): void => {
    for (const name of endingSignals) process.off(name, tellAndEnd)
    const left = hasPut()
      ? Promise.resolve(stillOpenText(repo, opened))
      : drop(context, commit, opened)
    void left.then((text) => {
      process.stderr.write(`\ninterrupted: ${text}\n`)
      // No handler is left, so this is what it would have been.
      process.kill(process.pid, signal)
    })
  }
  for (const name of endingSignals) process.once(name, tellAndEnd)
  try {
    await work(id, { isHeld })
  } catch (error) {
    const isKept = hasPut()
    const pfs = await loadPfs(context)
    const closing = isKept ? pfs.finishCommit({ commit }) : pfs.deleteCommit({ commit })
    // What went wrong first explains the rest.
    await closing.catch(async () => {
      // The server may have closed it itself.
      if (!(await isOpen(pfs, commit))) return
      throw new LeftOpenError(stillOpenText(repo, opened), { cause: error })
    })
    throw isKept ? error : sayingBranch(error, id, branch)
  } finally {
    for (const name of endingSignals) process.off(name, tellAndEnd)
  }
  if (hasEnded()) return
  const pfs = await loadPfs(context)
  await pfs.finishCommit({ commit }).catch((error: unknown) => {
    throw new LeftOpenError(stillOpenText(repo, opened), { cause: error })
  })
}

/** The commit is gone, and nobody has heard of it. */
function sayingBranch(error: unknown, id: string, branch: string): unknown {
  if (!(error instanceof RpcError) || id === '' || !error.message.includes(id)) return error
  const { code, kind } = error
  const options = { cause: error, ...(kind === undefined ? {} : { kind }) }
  return new RpcError(code, error.message.replaceAll(id, branch), options)
}

interface CommitTarget {
  readonly repo: string
  readonly branch: string
  readonly message?: string
}

interface OpenedCommit extends Disposable {
  readonly id: string
  /** It goes with the connection. */
  readonly isHeld: boolean
}

/** Disposing lets go of it. */
async function openCommit(
  context: CommandContext,
  { repo: name, branch, message = '' }: CommitTarget,
): Promise<OpenedCommit> {
  const letGo = new AbortController()
  const wanted = { repo: name, branch, message }
  const held = holdCommit(context.transport, wanted, { signal: letGo.signal })
  try {
    // Leaving a loop would end the call.
    const first = await held.next()
    const id = first.done === true ? '' : first.value.id
    return { id, isHeld: true, [Symbol.dispose]: () => letGo.abort() }
  } catch (error) {
    if (!(error instanceof RpcError && error.code === Code.unimplemented)) throw error
    const pfs = await loadPfs(context)
    const { id } = await pfs.startCommit({ parent: { repo: { name } }, branch, message })
    return { id, isHeld: false, [Symbol.dispose]: () => undefined }
  }
}

/** Loaded when it is needed, which is seldom: generated code takes as long to load as many files to be put. */
async function loadPfs(context: CommandContext): Promise<Pfs> {
  const { pfsClient } = await import('../pfs-client.ts')
  return pfsClient(context)
}

type Pfs = ReturnType<typeof PfsClientOf>
type Commit = { readonly repo: { readonly name: string }; readonly id: string }

/** True when nobody can say. */
async function isOpen(pfs: Pfs, commit: Commit): Promise<boolean> {
  try {
    return (await pfs.inspectCommit({ commit }, { timeoutMs: closeMsMax })).finished === undefined
  } catch (error) {
    return !(error instanceof RpcError && error.kind === 'not-found')
  }
}

/** Deletes a commit in which nothing is, and says what has become of it. */
async function drop(
  context: CommandContext,
  commit: Commit,
  opened: OpenedCommit,
): Promise<string> {
  const pfs = await loadPfs(context)
  const name = `${commit.repo.name}/${commit.id}`
  try {
    await pfs.deleteCommit({ commit }, { timeoutMs: closeMsMax })
    return 'nothing was put'
  } catch {
    const open = await isOpen(pfs, commit)
    return open ? stillOpenText(commit.repo.name, opened) : `all was put already: commit ${name}`
  }
}

function stillOpenText(repo: string, { id, isHeld }: OpenedCommit): string {
  if (isHeld) {
    return `commit ${repo}/${id} could not be closed; the server gives it up by itself, when it starts again at the latest`
  }
  return (
    `commit ${repo}/${id} is still open; to drop what was put, ` +
    `pachctl delete-commit ${repo} ${id}; to keep it, pachctl finish-commit ${repo} ${id}`
  )
}
