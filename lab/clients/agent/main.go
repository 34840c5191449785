// Command agent does what Karmada's register command and agent do, with the libraries they are written with: from a
// bootstrap token to an identity of its own, a Cluster, its status, its Lease and its Works, and out again. SERVER is
// HOST:PORT of the control plane, TOKEN a bootstrap token, PIN the control plane's authority as sha256:HEX. It prints one line
// for each step and ends with 1 at the first that fails.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	limit            = 2 * time.Minute
	cluster          = "edge"
	space            = "karmada-es-" + cluster
	clusterNamespace = "karmada-cluster"
	systemNamespace  = "karmada-system"
	agents           = "system:karmada:agents"
	user             = "system:karmada:agent:" + cluster
	signer           = "kubernetes.io/kube-apiserver-client"
)

var (
	clusters = schema.GroupVersionResource{Group: "cluster.karmada.io", Version: "v1alpha1", Resource: "clusters"}
	works    = schema.GroupVersionResource{Group: "work.karmada.io", Version: "v1alpha1", Resource: "works"}
	labels   = map[string]string{"karmada.io/system": "true"}
)

type program struct {
	server    string
	token     string
	authority []byte
	bootstrap kubernetes.Interface
	generator kubernetes.Interface
	agent     kubernetes.Interface
	untyped   dynamic.Interface
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p := &program{server: os.Getenv("SERVER"), token: os.Getenv("TOKEN")}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"cluster-info, signed by the token and pinned", p.discover},
		{"an identity for the generator of rights", p.becomeGenerator},
		{"rights of the agent", p.grant},
		{"an identity for the agent", p.becomeAgent},
		{"leader election in the system namespace", p.lead},
		{"credentials and the Cluster", p.register},
		{"status and Lease", p.report},
		{"Works of its own and of nobody else", p.work},
		{"a new certificate as itself", p.rotate},
		{"unregistered with its own rights", p.leave},
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", step.name, err)
			os.Exit(1)
		}
		fmt.Printf("ok %s\n", step.name)
	}
}

func must(isTrue bool, format string, values ...any) error {
	if isTrue {
		return nil
	}
	return fmt.Errorf(format, values...)
}

// config speaks protobuf, as typed clients of Karmada do.
func (p *program) config(tls rest.TLSClientConfig) *rest.Config {
	return &rest.Config{
		Host:            "https://" + p.server,
		TLSClientConfig: tls,
		ContentConfig: rest.ContentConfig{
			ContentType:        "application/vnd.kubernetes.protobuf",
			AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
		},
		QPS: 100, Burst: 200,
	}
}

func (p *program) discover(ctx context.Context) error {
	anonymous, err := kubernetes.NewForConfig(p.config(rest.TLSClientConfig{Insecure: true}))
	if err != nil {
		return err
	}
	id, secret, _ := strings.Cut(p.token, ".")
	var found *corev1.ConfigMap
	for {
		found, err = anonymous.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{})
		if err == nil && found.Data["jws-kubeconfig-"+id] != "" {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no signature by the token: %w", errors.Join(err, ctx.Err()))
		case <-time.After(200 * time.Millisecond):
		}
	}
	text := found.Data["kubeconfig"]
	parts := strings.Split(found.Data["jws-kubeconfig-"+id], ".")
	if len(parts) != 3 || parts[1] != "" {
		return fmt.Errorf("the signature is not detached: %q", parts)
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return err
	}
	var head struct{ Alg, Kid string }
	if err := json.Unmarshal(header, &head); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(text))))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) || head.Alg != "HS256" || head.Kid != id {
		return fmt.Errorf("the signature does not hold: %+v %w", head, err)
	}
	kubeconfig, err := clientcmd.Load([]byte(text))
	if err != nil {
		return err
	}
	if len(kubeconfig.Clusters) != 1 {
		return fmt.Errorf("%d clusters in cluster-info", len(kubeconfig.Clusters))
	}
	for _, one := range kubeconfig.Clusters {
		p.authority = one.CertificateAuthorityData
	}
	block, _ := pem.Decode(p.authority)
	if block == nil {
		return errors.New("cluster-info has no authority")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	if pin := "sha256:" + hex.EncodeToString(sum[:]); pin != os.Getenv("PIN") {
		return fmt.Errorf("the authority's pin is %s", pin)
	}
	pinned, err := kubernetes.NewForConfig(p.config(rest.TLSClientConfig{CAData: p.authority}))
	if err != nil {
		return err
	}
	again, err := pinned.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{})
	if err != nil {
		return err
	}
	config := p.config(rest.TLSClientConfig{CAData: p.authority})
	config.BearerToken = p.token
	p.bootstrap, err = kubernetes.NewForConfig(config)
	return errors.Join(err, must(again.Data["kubeconfig"] == text, "cluster-info differs over a verified connection"))
}

// identity asks for a client certificate and waits until it is approved and signed.
func (p *program) identity(ctx context.Context, asking kubernetes.Interface, name, commonName string, key crypto.Signer) (*rest.Config, error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: commonName, Organization: []string{agents}},
	}, key)
	if err != nil {
		return nil, err
	}
	seconds := int32(3600)
	requests := asking.CertificatesV1().CertificateSigningRequests()
	_, err = requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:           pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
			SignerName:        signer,
			ExpirationSeconds: &seconds,
			Usages:            []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	for {
		found, err := requests.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		if len(found.Status.Certificate) > 0 {
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return nil, err
			}
			return p.config(rest.TLSClientConfig{
				CAData:   p.authority,
				CertData: found.Status.Certificate,
				KeyData:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
			}), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s has no certificate: %+v", name, found.Status.Conditions)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *program) becomeGenerator(ctx context.Context) error {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return err
	}
	config, err := p.identity(ctx, p.bootstrap, "agent-rbac-generator-"+cluster+"abcde", "system:karmada:agent:rbac-generator", key)
	if err != nil {
		return err
	}
	p.generator, err = kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	untyped, err := dynamic.NewForConfig(asJSON(config))
	if err != nil {
		return err
	}
	_, err = untyped.Resource(clusters).Get(ctx, cluster, metav1.GetOptions{})
	return must(apierrors.IsNotFound(err) && err.Error() == `clusters.cluster.karmada.io "edge" not found`, "a Cluster that is not there: %v", err)
}

// asJSON is the configuration for kinds that have no protobuf form.
func asJSON(config *rest.Config) *rest.Config {
	copied := rest.CopyConfig(config)
	copied.ContentType, copied.AcceptContentTypes = "", ""
	return copied
}

func rule(group, resource string, names []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Split(resource, ","), ResourceNames: names, Verbs: verbs}
}

func (p *program) grant(ctx context.Context) error {
	own := []string{cluster}
	head := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
	}
	subjects := []rbacv1.Subject{{Kind: "User", Name: user, APIGroup: rbacv1.GroupName}}
	name := "system:karmada:" + cluster + ":agent"
	for _, namespace := range []string{space, clusterNamespace} {
		_, err := p.generator.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: head("", namespace)}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	if _, err := p.generator.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: head("", name), Rules: []rbacv1.PolicyRule{
		rule("cluster.karmada.io", "clusters", own, "get", "delete"),
		rule("cluster.karmada.io", "clusters", nil, "create", "list", "watch"),
		rule("cluster.karmada.io", "clusters/status", own, "update"),
		rule("config.karmada.io", "resourceinterpretercustomizations,resourceinterpreterwebhookconfigurations", nil, "get", "list", "watch"),
		rule("", "namespaces", nil, "get"),
		rule("coordination.k8s.io", "leases", nil, "get", "create", "update"),
		rule("certificates.k8s.io", "certificatesigningrequests", nil, "get", "create"),
		rule("", "services", nil, "list", "watch"),
		rule("", "events", nil, "patch", "create", "update"),
	}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := p.generator.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: head("", name), Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, role := range []struct {
		namespace, name string
		rules           []rbacv1.PolicyRule
	}{
		{clusterNamespace, name + "-secret", []rbacv1.PolicyRule{
			rule("", "secrets", []string{cluster, cluster + "-impersonator"}, "get", "patch"), rule("", "secrets", nil, "create"),
		}},
		{space, name + "-work", []rbacv1.PolicyRule{
			rule("work.karmada.io", "works", nil, "get", "create", "list", "watch", "update", "delete"),
			rule("work.karmada.io", "works/status", nil, "patch", "update"),
		}},
	} {
		if _, err := p.generator.RbacV1().Roles(role.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: head(role.namespace, role.name), Rules: role.rules}, metav1.CreateOptions{}); err != nil {
			return err
		}
		if _, err := p.generator.RbacV1().RoleBindings(role.namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: head(role.namespace, role.name), Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.name},
		}, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return p.generator.CertificatesV1().CertificateSigningRequests().Delete(ctx, "agent-rbac-generator-"+cluster+"abcde", metav1.DeleteOptions{})
}

func (p *program) becomeAgent(ctx context.Context) error {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return err
	}
	config, err := p.identity(ctx, p.bootstrap, cluster+"-abcde", user, key)
	if err != nil {
		return err
	}
	if p.agent, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	p.untyped, err = dynamic.NewForConfig(asJSON(config))
	return err
}

func (p *program) lead(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	led := make(chan struct{}, 1)
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: systemNamespace, Name: "karmada-agent-" + cluster},
		Client:     p.agent.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: "host_1"},
	}
	go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 200 * time.Millisecond, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { led <- struct{}{} }, OnStoppedLeading: func() {}},
	})
	select {
	case <-led:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *program) register(ctx context.Context) error {
	secrets := p.agent.CoreV1().Secrets(clusterNamespace)
	for name, data := range map[string]map[string][]byte{
		cluster:                   {"caBundle": p.authority, "token": []byte("a-token")},
		cluster + "-impersonator": {"token": []byte("another")},
	} {
		_, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: data}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	reference := func(name string) map[string]any { return map[string]any{"namespace": clusterNamespace, "name": name} }
	made, err := p.untyped.Resource(clusters).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cluster.karmada.io/v1alpha1",
		"kind":       "Cluster",
		"metadata":   map[string]any{"name": cluster},
		"spec": map[string]any{
			"syncMode":              "Pull",
			"apiEndpoint":           "https://10.0.0.1:6443",
			"id":                    "11111111-2222-3333-4444-555555555555",
			"secretRef":             reference(cluster),
			"impersonatorSecretRef": reference(cluster + "-impersonator"),
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"cluster.karmada.io/v1alpha1","kind":"Cluster","name":%q,"uid":%q,"controller":true,"blockOwnerDeletion":true}]}}`, cluster, made.GetUID())
	for _, name := range []string{cluster, cluster + "-impersonator"} {
		owned, err := secrets.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			return err
		}
		if len(owned.OwnerReferences) != 1 {
			return fmt.Errorf("%s has owners %v", name, owned.OwnerReferences)
		}
	}
	return must(made.GetGeneration() == 1 && made.GetUID() != "", "the Cluster came back as %v", made.Object)
}

func (p *program) report(ctx context.Context) error {
	for {
		found, err := p.untyped.Resource(clusters).Get(ctx, cluster, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now := time.Now().UTC().Format(time.RFC3339)
		condition := map[string]any{"type": "Ready", "status": "True", "reason": "ClusterReady", "message": "cluster is healthy and ready to accept workloads", "lastTransitionTime": now}
		if err := unstructured.SetNestedField(found.Object, map[string]any{"kubernetesVersion": "v1.36.2", "conditions": []any{condition}}, "status"); err != nil {
			return err
		}
		_, err = p.untyped.Resource(clusters).UpdateStatus(ctx, found, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	seconds, holder, now := int32(40), cluster, metav1.NowMicro()
	leases := p.agent.CoordinationV1().Leases(clusterNamespace)
	lease, err := leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: cluster},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	later := metav1.NewMicroTime(now.Add(10 * time.Second).Truncate(time.Microsecond))
	lease.Spec.RenewTime = &later
	written, err := leases.Update(ctx, lease, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	return must(written.Spec.RenewTime.Equal(&later), "renewed at %v", written.Spec.RenewTime)
}

func (p *program) work(ctx context.Context) error {
	own := p.untyped.Resource(works).Namespace(space)
	list, err := own.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	events, err := own.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), AllowWatchBookmarks: true})
	if err != nil {
		return err
	}
	defer events.Stop()
	manifest := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "default", "name": "settings"}}
	made, err := own.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "work.karmada.io/v1alpha1",
		"kind":       "Work",
		"metadata":   map[string]any{"name": "collected", "finalizers": []any{"karmada.io/execution-controller"}},
		"spec":       map[string]any{"workload": map[string]any{"manifests": []any{manifest}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for isSeen := false; !isSeen; {
		select {
		case event := <-events.ResultChan():
			object, isObject := event.Object.(*unstructured.Unstructured)
			isSeen = isObject && event.Type == watch.Added && object.GetName() == "collected"
		case <-ctx.Done():
			return errors.New("the Work was not seen by its watch")
		}
	}
	status := `{"status":{"conditions":[{"type":"Applied","status":"True","reason":"AppliedSuccessful","message":"applied","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
	if _, err := own.Patch(ctx, made.GetName(), types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		return err
	}
	_, err = p.agent.CoreV1().Events(space).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: space, Name: "collected.1"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "work.karmada.io/v1alpha1", Kind: "Work", Namespace: space, Name: "collected"},
		Type:           "Normal", Reason: "SyncSucceed", Message: "it went well",
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for _, list := range []string{"resourceinterpretercustomizations", "resourceinterpreterwebhookconfigurations"} {
		kind := schema.GroupVersionResource{Group: "config.karmada.io", Version: "v1alpha1", Resource: list}
		if _, err := p.untyped.Resource(kind).List(ctx, metav1.ListOptions{}); err != nil {
			return err
		}
	}
	_, others := p.untyped.Resource(works).Namespace("karmada-es-other").List(ctx, metav1.ListOptions{})
	_, secrets := p.agent.CoreV1().Secrets(clusterNamespace).List(ctx, metav1.ListOptions{})
	return errors.Join(
		must(apierrors.IsForbidden(others), "Works of others: %v", others),
		must(apierrors.IsForbidden(secrets), "Secrets of others: %v", secrets),
	)
}

func (p *program) rotate(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	config, err := p.identity(ctx, p.agent, cluster+"-fghij", user, key)
	if err != nil {
		return err
	}
	if p.agent, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if p.untyped, err = dynamic.NewForConfig(asJSON(config)); err != nil {
		return err
	}
	found, err := p.agent.CertificatesV1().CertificateSigningRequests().Get(ctx, cluster+"-fghij", metav1.GetOptions{})
	if err != nil {
		return err
	}
	message := ""
	for _, condition := range found.Status.Conditions {
		message = condition.Message
	}
	return must(message == "Auto approving self karmada agent certificate after SubjectAccessReview.", "approved with %q", message)
}

func (p *program) leave(ctx context.Context) error {
	own := p.untyped.Resource(works).Namespace(space)
	// All Works go first, those of the control plane too: the agent carries deletions out, and then lets go.
	for {
		list, err := own.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			break
		}
		for _, item := range list.Items {
			err := own.Delete(ctx, item.GetName(), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			found, err := own.Get(ctx, item.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			found.SetFinalizers(nil)
			_, err = own.Update(ctx, found, metav1.UpdateOptions{})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return err
			}
		}
	}
	if err := p.untyped.Resource(clusters).Delete(ctx, cluster, metav1.DeleteOptions{}); err != nil {
		return err
	}
	for {
		_, err := p.untyped.Resource(clusters).Get(ctx, cluster, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("the Cluster is still there")
		case <-time.After(200 * time.Millisecond):
		}
	}
}
