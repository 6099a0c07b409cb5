const usualMethods = ['MESSAGE', 'REGISTER', 'INVITE', 'ACK', 'BYE', 'OPTIONS', 'CANCEL']

/** The method as a text that Maps know already, and that keeps no message: a part of one is hashed at each look-up. */
export function sameMethod(method: string): string {
  for (const usual of usualMethods) if (usual === method) return usual
  return method
}
