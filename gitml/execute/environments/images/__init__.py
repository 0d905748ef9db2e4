"""Container images as environments: fetched by digest, verified, unpacked once, and entered without a container engine.

- A *manifest* names the layers of an image for one platform; an *index* names a manifest for each of several platforms.
- A *layer* is an archive of what it adds to those below; a *whiteout* in it removes what they have.
- The *root* of an image is the folder that its layers were unpacked into.
"""
