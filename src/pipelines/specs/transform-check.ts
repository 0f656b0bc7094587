import { InvalidArgumentError } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { Transform } from '../executor.ts'
import type { RequestedTransform, Secret } from '../requested-specs.ts'

const imageLengthMax = 1024
const secretNameLengthMax = 253
const mountPathLengthMax = 4096
/** As Kubernetes names secrets. */
const secretName = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

/** Checks what to run. @throws {InvalidArgumentError} naming the field and what it should be. */
export function checkTransform(pipeline: PipelineName, transform: RequestedTransform): Transform {
  const refuse: Refuse = (reason) => {
    throw new InvalidArgumentError(`pipeline ${pipeline}: ${reason}`)
  }
  if (transform.command.length === 0 || transform.command[0] === '') {
    refuse('no cmd set; "transform.cmd" is the program and its arguments, e.g. ["sh", "-c", "…"]')
  }
  for (const text of [...transform.command, ...transform.stdinLines]) refuseNul(text, refuse)
  for (const [key, value] of Object.entries(transform.environment)) {
    refuseNul(value, refuse)
    if (!/^[^=\0]+$/.test(key)) {
      refuse(`${JSON.stringify(key)} is not a name for an environment variable`)
    }
  }
  for (const code of transform.acceptedReturnCodes) {
    if (!Number.isInteger(code) || code < 0 || code > 255) {
      refuse(`accept_return_code ${code} is not an exit code (0 to 255)`)
    }
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (transform.image.length > imageLengthMax || /[\s\u0000-\u001f\u007f]/.test(transform.image)) {
    refuse(
      `transform.image ${JSON.stringify(transform.image.slice(0, imageLengthMax))} is not the name of an image, such as "python:3.12" or "localhost:5000/team/tool"`,
    )
  }
  return {
    image: transform.image,
    command: transform.command,
    stdinLines: transform.stdinLines,
    environment: transform.environment,
    acceptedReturnCodes: transform.acceptedReturnCodes,
  }
}

type Refuse = (reason: string) => never

function refuseNul(text: string, refuse: Refuse): void {
  if (!text.includes('\0')) return
  refuse(`${JSON.stringify(text)} holds a null character, which no program can be given`)
}

/** Checks the secrets by themselves: whether they exist is known where the code runs. */
export function checkSecrets(
  pipeline: PipelineName,
  { secrets, imagePullSecrets }: RequestedTransform,
): readonly Secret[] {
  const refuse: Refuse = (reason) => {
    throw new InvalidArgumentError(`pipeline ${pipeline}: ${reason}`)
  }
  for (const [index, name] of imagePullSecrets.entries()) {
    requireSecretName(name, `transform.image_pull_secrets[${index}]`, refuse)
  }
  const taken = new Set<string>()
  for (const [index, { name, mountPath }] of secrets.entries()) {
    const field = `transform.secrets[${index}]`
    requireSecretName(name, `${field}.name`, refuse)
    if (!isMountPath(mountPath)) {
      refuse(
        `${field}.mount_path ${JSON.stringify(mountPath.slice(0, mountPathLengthMax))} must be an absolute path without "..", and neither "/" nor in /pfs`,
      )
    }
    const path = mountPath.replace(/\/+$/, '')
    if (taken.has(path)) refuse(`${field}.mount_path ${mountPath} is that of another secret, too`)
    taken.add(path)
  }
  return secrets
}

function requireSecretName(name: string, field: string, refuse: Refuse): void {
  if (secretName.test(name) && name.length <= secretNameLengthMax) return
  refuse(
    `${field} ${JSON.stringify(name.slice(0, secretNameLengthMax))} is not the name of a secret: lower-case letters, digits, "-" and "."`,
  )
}

function isMountPath(path: string): boolean {
  if (!path.startsWith('/') || path.length > mountPathLengthMax || path.includes('\0')) return false
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  return names.length > 0 && names[0] !== 'pfs' && !names.includes('..')
}
