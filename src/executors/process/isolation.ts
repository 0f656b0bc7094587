import type { Clock } from '../../base/clock.ts'
import { type FilterLoader, filterLoaders } from './call-filter.ts'
import { toolFault } from './sandbox-tools.ts'
import { type SandboxMode, toolPath } from './sandbox.ts'

/** How user code is set apart, from most to least wanted; `none` is a directory named by `$PFS`. */
export type Isolation = SandboxMode | 'none'

export interface SandboxChoice {
  readonly kind: 'sandbox'
  readonly mode: SandboxMode
  /** Without, user code gets at the kernel's keys, and in mode `root` at the machine's control groups. */
  readonly filterLoader: FilterLoader | undefined
}

export type IsolationChoice =
  | SandboxChoice
  /** Why there is no sandbox, and what helps, if that is known. */
  | { readonly kind: 'none'; readonly reason: string; readonly advice?: string }
  /** The machine may allow one, and it could not be made: user code waits. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** With or without a sandbox, no code can run here. */
  | { readonly kind: 'impossible'; readonly reason: string }

/** Nobody has needed to know yet: trying to make a sandbox starts a dozen programs. */
export const untried = { kind: 'untried' } as const

/** How a sandbox was tried. `forbidden`: trying again will not help. `late`: nor will it soon. */
export type SandboxTrial =
  | { readonly kind: 'opened' }
  | { readonly kind: 'forbidden' | 'failed' | 'late'; readonly reason: string }

type Try = (choice: SandboxChoice) => Promise<SandboxTrial>

/** Between tries. */
const pausesMs = [100, 500]

export const askedForNone: IsolationChoice = {
  kind: 'none',
  reason: 'as pachd --sandbox off says',
  advice: 'start pachd without --sandbox off',
}

/** The isolation that somebody wants. */
export function choiceOf(isolation: Isolation): IsolationChoice {
  if (isolation === 'none') return askedForNone
  return { kind: 'sandbox', mode: isolation, filterLoader: filterLoaders(toolPath)[0] }
}

/**
 * Tries for the best that the machine allows. Only what it forbids makes way for something less: what
 * failed for another reason may work later.
 */
export async function chooseIsolation(
  clock: Clock,
  trial: Try,
  signal: AbortSignal,
): Promise<IsolationChoice> {
  if (process.platform !== 'linux') {
    return { kind: 'none', reason: 'sandboxes are made of namespaces, which only Linux has' }
  }
  const fault = await toolFault(toolPath)
  if (fault !== undefined) return { kind: 'none', ...fault }
  const loaders = filterLoaders(toolPath)
  const modes: readonly SandboxMode[] = process.geteuid?.() === 0 ? ['root', 'user'] : ['user']
  let reason = ''
  for (const mode of modes) {
    // The loaders of a filter are as good as each other, and better than none.
    for (const equals of [loaders, [undefined]]) {
      const failures: string[] = []
      for (const filterLoader of equals) {
        const choice: SandboxChoice = { kind: 'sandbox', mode, filterLoader }
        const end = await tryOften(choice, trial, (ms) => clock.sleep(ms, signal))
        if (end.kind === 'opened') return choice
        // Nor is another way quicker, and whoever starts the server waits.
        if (end.kind === 'late') return { kind: 'failed', reason: end.reason }
        reason = end.reason
        if (end.kind === 'failed') failures.push(end.reason)
      }
      const [failure] = failures
      if (failure !== undefined) return { kind: 'failed', reason: failure }
    }
  }
  return { kind: 'none', reason }
}

async function tryOften(
  choice: SandboxChoice,
  trial: Try,
  pause: (ms: number) => Promise<void>,
): Promise<SandboxTrial> {
  for (const pauseMs of pausesMs) {
    const end = await trial(choice)
    if (end.kind !== 'failed') return end
    await pause(pauseMs)
  }
  return await trial(choice)
}
