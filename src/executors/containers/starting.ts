import { type DomainError, FailedPreconditionError } from '../../base/errors.ts'
import type { ContainerSettings } from './container-settings.ts'
import type { Engine, RunningContainer } from './engine.ts'

/** The image has no shell, which the runner is written for. */
export class NoShellError extends FailedPreconditionError {
  override readonly name = 'NoShellError'
}

/** @throws {NoShellError} when that is why the engine could not start it. */
export async function startContainer(
  engine: Engine,
  id: string,
  settings: ContainerSettings,
): Promise<RunningContainer> {
  try {
    return await engine.startContainer(id)
  } catch (error) {
    if (!(error instanceof FailedPreconditionError)) throw error
    if (settings.usesImageShell && !(await hasShell(engine, id))) {
      throw new NoShellError(
        `image ${settings.image} has no /bin/sh, which runs the command for each datum: add a shell to the image, or install a static busybox on the server's machine (Debian: apt-get install busybox-static), which is then used in its place`,
        { cause: error },
      )
    }
    throw startError(settings, error)
  }
}

async function hasShell(engine: Engine, id: string): Promise<boolean> {
  // Where the engine cannot say, its own words will do.
  return await engine.hasFile(id, '/bin/sh').catch(() => true)
}

function startError(settings: ContainerSettings, error: DomainError): FailedPreconditionError {
  const isForGraphics =
    settings.options.HostConfig?.DeviceRequests !== undefined && /gpu|cdi/i.test(error.message)
  const advice = isForGraphics
    ? ': install the NVIDIA container toolkit for the engine, or set resource_spec.gpu to 0'
    : ''
  return new FailedPreconditionError(
    `a container of image ${settings.image} cannot be started: ${error.message}${advice}`,
    { cause: error },
  )
}
