/** Fails a datum as user code does that ends with an error. */
export function failing(reason: string): never {
  throw reason // oxlint-disable-line no-throw-literal, typescript/only-throw-error -- how test code fails
}
