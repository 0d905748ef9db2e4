"""Git: objects, trees and refs of the repository, and the record logs in it. Alone imports dulwich and GitPython."""
