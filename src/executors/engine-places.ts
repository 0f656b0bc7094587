import { accessSync, constants, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

import { InvalidArgumentError } from '../base/errors.ts'
import { engineError } from './containers/engine-errors.ts'

/** Where engines listen that nobody has told about. */
const usualPlaces = ['/var/run/docker.sock', '/run/podman/podman.sock']

/**
 * The sockets at which an engine may be, the first that exists to be taken; none when `off` is asked
 * for. Nothing said: as Docker's own tools do, the one that `DOCKER_HOST` names, if it is one of this
 * machine, else root's and the user's own.
 *
 * @throws {InvalidArgumentError} for an engine that is not on this machine.
 */
export function engineSockets(
  asked: string,
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  if (asked === 'off') return []
  if (asked !== '') return [askedPath(asked)]
  const dockerHost = pathOf(environment['DOCKER_HOST'] ?? '')
  if (dockerHost !== undefined) return [dockerHost]
  const runtime = environment['XDG_RUNTIME_DIR'] ?? ''
  const own = runtime === '' ? [] : [`${runtime}/docker.sock`, `${runtime}/podman/podman.sock`]
  return [...usualPlaces, ...own]
}

/** Every place at which an engine of this machine may listen, in use or not: user code must find none. */
export function enginePlaces(
  used: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const home = environment['HOME'] ?? ''
  const desktop = home === '' ? [] : [`${home}/.docker/run/docker.sock`]
  return Array.from(
    new Set([...used, ...engineSockets('', environment), ...usualPlaces, ...desktop]),
  )
}

/** The first that this user may use, else that there is, else the first, for its error to tell of. */
export function presentSocket(paths: readonly string[]): string | undefined {
  const sockets = paths.filter(isSocket)
  return sockets.find(isOpen) ?? sockets[0] ?? paths[0]
}

/**
 * So that who has no engine need not load what talks to one.
 *
 * @throws {UnavailableError} with advice when there is none of the sockets.
 */
export async function requireSocket(paths: readonly string[]): Promise<void> {
  const path = presentSocket(paths)
  if (path === undefined) return
  await stat(path).catch((error: unknown) => {
    throw engineError(error, `unix://${path}`)
  })
}

function askedPath(text: string): string {
  const path = pathOf(text)
  if (path !== undefined) return path
  throw new InvalidArgumentError(
    `--container-engine ${JSON.stringify(text)} is no socket of this machine: write unix:///run/podman/podman.sock or the like; an engine elsewhere cannot show files of this machine to user code`,
  )
}

function pathOf(text: string): string | undefined {
  const path = text.startsWith('unix://') ? text.slice('unix://'.length) : text
  return path.startsWith('/') ? path : undefined
}

/** Not where it cannot be looked for: the directory of root's is often closed to others. */
function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket()
  } catch {
    return false
  }
}

function isOpen(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}
