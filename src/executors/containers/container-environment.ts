import { checkVariable } from '../process/environment.ts'
import type { EngineImage } from './engine.ts'

/** What engines give to a container whose image says nothing. */
const usualProgramPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * What is added to the environment that the image gives: nothing of the server's own. Later parts
 * win, but `PFS` is always true. `PATH` is said again: the runner does without.
 *
 * @throws {InvalidArgumentError} for what no process can have in its environment.
 */
export function containerEnvironment(
  image: EngineImage,
  ...parts: readonly Readonly<Record<string, string>>[]
): Readonly<Record<string, string>> {
  const path = image.environment.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length)
  const environment: Readonly<Record<string, string>> = {
    PATH: path ?? usualProgramPath,
    ...Object.assign({}, ...parts),
    PFS: '/pfs',
  }
  for (const [name, value] of Object.entries(environment)) checkVariable(name, value)
  return environment
}
