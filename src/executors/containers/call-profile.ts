import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Who keeps code in containers from user namespaces, in which it could lift its bounds. */
export type NamespaceGuard =
  /** The engine, with the profile of system calls that it has. */
  | { readonly kind: 'engine' }
  /** That profile lets them be, and this one takes its place: JSON. */
  | { readonly kind: 'profile'; readonly text: string }
  | { readonly kind: 'none'; readonly reason: string }

type Rule = Readonly<Record<string, unknown>>
type NamedRule = Rule & { readonly names: readonly unknown[] }

const profileName = 'calls.json'
/** `CLONE_NEWUSER` of linux/sched.h. */
const newUserNamespace = 0x10000000
// Of linux/errno.h.
const notPermitted = 1
const noSuchCall = 38
/** Their flags say which namespaces are to be new. */
const makers = ['clone', 'unshare']
/** Others have flags that cannot be looked at, or enter namespaces, or keep keys for all containers of a user. */
const refused: Readonly<Record<string, number>> = {
  clone3: noSuchCall,
  add_key: noSuchCall,
  request_key: noSuchCall,
  keyctl: noSuchCall,
  setns: notPermitted,
}

/** Docker's own profile refuses user namespaces to who may not administer the machine. `options` are Docker's words. */
export function dockerGuard(options: readonly string[]): NamespaceGuard {
  const profile = options.find((option) => option.startsWith('name=seccomp'))
  const name = /,profile=(.*)$/.exec(profile ?? '')?.[1]
  if (name === 'builtin' || name === 'default') return { kind: 'engine' }
  return {
    kind: 'none',
    reason:
      name === undefined
        ? 'Docker filters no system calls here'
        : `Docker was told to have another filter of system calls than its own (${name})`,
  }
}

/** What Podman says of itself, as much as is looked at. */
export interface PodmanSecurity {
  readonly seccompEnabled?: unknown
  readonly seccompProfilePath?: unknown
}

/** Podman's profile lets programs make user namespaces: one that does not is made of it. */
export function podmanGuard(security: PodmanSecurity): NamespaceGuard {
  const { seccompEnabled: isEnabled, seccompProfilePath: path } = security
  if (isEnabled === false) return { kind: 'none', reason: 'Podman filters no system calls here' }
  if (typeof path !== 'string' || path === '') {
    return { kind: 'none', reason: 'Podman does not say where it has its filter of system calls' }
  }
  try {
    return { kind: 'profile', text: refusingNamespaces(readFileSync(path, 'utf8')) }
  } catch (error) {
    return {
      kind: 'none',
      reason: `its filter of system calls (${path}) cannot be read: ${(error as Error).message}`,
    }
  }
}

/**
 * A profile as engines read them (`linux.seccomp` of the OCI, with conditions) that lets be what `text` does, but for
 * user namespaces and keys, which are refused as in the sandboxes of processes.
 *
 * @throws when `text` is no such profile.
 */
export function refusingNamespaces(text: string): string {
  const profile: unknown = JSON.parse(text)
  if (!isRule(profile) || !Array.isArray(profile['syscalls'])) throw new Error('it has no rules')
  const rules = profile['syscalls'].flatMap((rule: unknown) => {
    if (!isRule(rule) || !Array.isArray(rule['names'])) throw new Error('a rule names no calls')
    return guardedRules(rule, rule['names']).filter(({ names }) => names.length > 0)
  })
  const ofNamespaces = makers.map((name) => ({
    names: [name],
    action: 'SCMP_ACT_ERRNO',
    errnoRet: notPermitted,
    args: [withUserNamespace(name, newUserNamespace)],
  }))
  const others = Object.entries(refused).map(([name, errnoRet]) => ({
    names: [name],
    action: 'SCMP_ACT_ERRNO',
    errnoRet,
  }))
  return JSON.stringify({ ...profile, syscalls: [...rules, ...ofNamespaces, ...others] })
}

/** What is left of a rule, and what it lets be without user namespaces. */
function guardedRules(rule: Rule, names: readonly unknown[]): readonly NamedRule[] {
  const { args } = rule
  const others = names.filter((name) => typeof name !== 'string' || !(name in refused))
  // It looks at the flags itself, as Docker's does.
  if (Array.isArray(args) && args.length > 0) return [{ ...rule, names: others }]
  const made = makers.filter((name) => others.includes(name))
  const kept = { ...rule, names: others.filter((name) => !makers.includes(String(name))) }
  if (rule['action'] !== 'SCMP_ACT_ALLOW') return [kept]
  return [
    kept,
    ...made.map((name) => ({ ...rule, names: [name], args: [withUserNamespace(name, 0)] })),
  ]
}

/** The condition that flags have, or have not, the bit for user namespaces. */
function withUserNamespace(name: string, bit: number): Rule {
  // There, the first argument of `clone` is a stack.
  const index = name === 'clone' && process.arch === 's390x' ? 1 : 0
  return { index, value: newUserNamespace, valueTwo: bit, op: 'SCMP_CMP_MASKED_EQ' }
}

function isRule(value: unknown): value is Rule {
  return typeof value === 'object' && value !== null
}

/**
 * The words by which an engine is asked for the guard. It reads the profile from a file in `directory`, which is this
 * server's own. (Docker would want its text, but has one already.)
 */
export function guardOptions(guard: NamespaceGuard, directory: string): readonly string[] {
  if (guard.kind !== 'profile') return []
  const path = join(directory, profileName)
  writeFileSync(path, guard.text)
  return [`seccomp=${path}`]
}

/** For people, of a guard that there is not. */
export function guardNotices(guard: NamespaceGuard): readonly string[] {
  if (guard.kind !== 'none') return []
  return [
    'nothing is known to keep the code from user namespaces, in which it could lift the bounds of its container: ' +
      guard.reason,
  ]
}
